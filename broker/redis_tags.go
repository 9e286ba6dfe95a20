package broker

// clusterPartitions and partitionTags determine every name in a Cluster: they must never
// change.
const clusterPartitions = 64

// partitionTags are the numbers in braces. The tag of partition i is the smallest number
// whose slot is at most 8 away from (i + 1/2) * 16384 / 64. So 2 to 16 masters with equal
// ranges of slots have equal shares of the partitions, give or take one.
var partitionTags = [clusterPartitions]int{
	289, 977, 117, 2113, 399, 21, 1091, 2003,
	184, 2180, 87, 1972, 679, 2090, 227, 1862,
	109, 2020, 297, 844, 134, 2130, 387, 879,
	204, 91, 777, 2773, 239, 1951, 667, 2663,
	712, 2716, 261, 1824, 602, 1071, 371, 9,
	532, 67, 781, 2045, 422, 931, 151, 2078,
	352, 981, 621, 629, 242, 891, 731, 1142,
	172, 2176, 401, 79, 1619, 2066, 511, 44,
}
