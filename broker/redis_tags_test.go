package broker

import (
	"fmt"
	"testing"
)

func TestSlotOf(t *testing.T) {
	for key, want := range map[string]int{ // as CLUSTER KEYSLOT says
		"123456789": 12739, "foo": 12182, "{foo}:a": 12182, "a{foo}b{c}": 12182, "": 0,
	} {
		if got := slotOf(key); got != want {
			t.Errorf("slotOf(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestPartitionTags_StandEvenly(t *testing.T) {
	for i, tag := range partitionTags {
		slot, ideal := slotOf(fmt.Sprint(tag)), (2*i+1)*clusterSlots/(2*clusterPartitions)
		if distance := max(slot-ideal, ideal-slot); distance > 8 {
			t.Errorf("partition %d is in slot %d, %d from %d", i, slot, distance, ideal)
		}
	}
}

// Masters with equal ranges of slots have equal shares of the partitions, give or
// take one.
func TestPartitionTags_Shares(t *testing.T) {
	for masters := 2; masters <= 16; masters++ {
		shares := make([]int, masters)
		for _, tag := range partitionTags {
			shares[slotOf(fmt.Sprint(tag))*masters/clusterSlots]++
		}
		t.Logf("%d masters: %v", masters, shares)
		for _, share := range shares {
			if share < clusterPartitions/masters || share > clusterPartitions/masters+1 {
				t.Errorf("%d masters have shares of %v", masters, shares)
				break
			}
		}
	}
}
