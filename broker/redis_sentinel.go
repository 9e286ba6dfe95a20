package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// sentinel is a topology of a master and its replicas, monitored by Sentinels. It asks the
// Sentinels regularly: that takes two short commands and, unlike a subscription to
// +switch-master, cannot go silent unnoticed.
type sentinel struct {
	clients
	sentinels []*redis.SentinelClient

	// Used only by look.
	answered time.Time // when enough Sentinels last answered
	replicas int       // how many the master had then or, since then, at most; unknownReplicas if it has never said
	vouched  time.Time // when the master was last known to have all of them

	// Guarded by mu. Only look writes it.
	master named // with the reason why it cannot be trusted, if it cannot
}

func newSentinel(d redisDialer) *sentinel {
	s := &sentinel{clients: newClients(d), master: named{epoch: -1}}
	for _, address := range d.target.addresses {
		o := d.options(address)
		o.Username, o.Password, o.DB = d.target.sentinelUser, d.target.sentinelPassword, 0
		o.OnConnect = nil
		s.sentinels = append(s.sentinels, redis.NewSentinelClient(o))
	}
	return s
}

// look asks all Sentinels for the master, and believes the one with the latest failover. If
// less than half of them answer, the others may have agreed on a later one: then look believes
// only what is news.
func (s *sentinel) look(ctx context.Context) {
	defer s.looked.over()
	master, enough, err := s.ask(ctx)
	if !enough && master.epoch <= s.master.epoch {
		s.doubt(ctx, err)
		return
	}
	if master.address != s.master.address || master.epoch != s.master.epoch {
		s.replicas = unknownReplicas
	}
	s.mu.Lock()
	s.master = master
	s.closeOthers(master.address)
	s.mu.Unlock()
	s.answered = time.Now()
	if now := s.countReplicas(ctx); now != unknownReplicas {
		s.replicas, s.vouched = now, time.Now()
	}
}

// named is the master that a Sentinel names.
type named struct {
	address string
	epoch   int   // of the failover that made it the master; -1 if it is none
	err     error // why it cannot be trusted
}

// ask returns the master of the latest failover that a Sentinel names, with epoch -1 if none
// names any; whether enough of them have answered; and why the others have not.
func (s *sentinel) ask(ctx context.Context) (best named, enough bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answers := make([]named, len(s.sentinels))
	var wait sync.WaitGroup
	for i, client := range s.sentinels {
		wait.Go(func() { answers[i] = s.askOne(ctx, client) })
	}
	wait.Wait()
	best, said := named{epoch: -1}, 0
	for _, n := range answers {
		if n.err != nil {
			err = errors.Join(err, n.err)
			continue
		}
		if said++; n.epoch > best.epoch {
			best = n
		}
	}
	return best, 2*said >= len(answers), err
}

// askOne asks for the epoch first: if the master changes in between, the answer is too old
// rather than the former master in the new epoch.
func (s *sentinel) askOne(ctx context.Context, client *redis.SentinelClient) (n named) {
	master, err := client.Master(ctx, s.target.master).Result()
	if err == nil {
		n.epoch, err = strconv.Atoi(master["config-epoch"])
	}
	if redis.HasErrorPrefix(err, "ERR No such master") {
		err = fmt.Errorf("sentinel knows no master %q", s.target.master)
	}
	if err != nil {
		return named{err: err}
	}
	address, err := client.GetMasterAddrByName(ctx, s.target.master).Result()
	if err == nil && len(address) != 2 {
		err = errStrangeAnswer
	}
	if err != nil {
		return named{err: err}
	}
	n.address = net.JoinHostPort(address[0], address[1])
	return n
}

const (
	sentinelPatience = 2 * time.Second // without an answer from half of the Sentinels
	masterPatience   = 4 * time.Second // without an answer from the master either
	unknownReplicas  = -1
	replicaLag       = 3 // seconds; a replica that has been silent for longer may have been promoted
)

// doubt decides whether to trust the master while the Sentinels do not say who it is, because
// of err: another server may be the master by now. A promoted replica leaves its master, so a
// master that still has all its replicas, or never had any, is still the master.
func (s *sentinel) doubt(ctx context.Context, err error) {
	now := s.countReplicas(ctx)
	switch {
	case s.replicas != unknownReplicas && now >= s.replicas:
		s.replicas, s.vouched, err = now, time.Now(), nil
	case time.Since(s.answered) < sentinelPatience:
		return
	case s.replicas != unknownReplicas && now == unknownReplicas && time.Since(s.vouched) < masterPatience:
		return // it may be slow: if there is another master, this one has lost a replica
	default:
		err = fmt.Errorf("no Sentinel says who is the master now, or less than half of them: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.master.err = err
}

// countReplicas asks the master how many replicas follow it. It returns unknownReplicas if
// the master does not answer.
func (s *sentinel) countReplicas(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if s.master.address == "" {
		return unknownReplicas
	}
	info, err := s.at(s.master.address).Info(ctx, "replication").Result()
	if err != nil {
		return unknownReplicas
	}
	n := 0
	for line := range strings.Lines(info) {
		if strings.HasPrefix(line, "slave") && strings.Contains(line, "state=online") {
			if lag, err := strconv.Atoi(fieldAfter(line, "lag=")); err == nil && lag <= replicaLag {
				n++
			}
		}
	}
	return n
}

// fieldAfter returns what is between name and the next comma or the end of line.
func fieldAfter(line, name string) string {
	_, rest, _ := strings.Cut(line, name)
	value, _, _ := strings.Cut(rest, ",")
	return strings.TrimSpace(value)
}

func (s *sentinel) client(ctx context.Context, key string) (*redis.Client, error) {
	return s.clientOf(ctx, key, s.address)
}

func (s *sentinel) address(string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.master.address, s.master.err
}

func (s *sentinel) close() {
	for _, client := range s.sentinels {
		client.Close()
	}
	s.clients.close()
}
