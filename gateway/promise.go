package gateway

// The promise: no client misses a message without being told.
//
// These are the events that may leave a client without a message, and who tells it.
// A channel with history repairs first: what its history has is read and sent, and a
// loss is told only where something may be gone. "Gap" is the event of that name; a
// protocol that cannot say it ends the session with Missed, or the one subscription
// (Frame.Last), spread over some seconds, and the session hears nothing of the channel
// in between. "Not recovered" is the
// Subscribed of a client that comes with a cursor, without Recovered.
//
//	 event                                        with history                       without
//	 1 the broker's link was lost                 repair (Channel.missed)            Gap (Channel.missed)
//	 2 a message is lost, the link lives          repair, when the next one comes    the broker's contract: its
//	                                              (Timeline.Next), or within         link is lost, then
//	                                              seconds (Hub.CheckQuiet)
//	 3 what a repair looks for is gone            Gap (Timeline.Merge)               -
//	 4 the history has a new epoch                Gap: what the former epoch had     -
//	                                              at last nobody knows; but if that
//	                                              was the position of nothing, all
//	                                              there is follows (Timeline.Merge)
//	 5 a message was seen, and is not in the      Gap, after some reads              -
//	   history                                    (Timeline.Conclude)
//	 6 the history knows less than this node      not believed for some reads;       -
//	                                              then Gap (Timeline.Merge)
//	 7 the rules have history begin               Gap to those there before          -
//	                                              (Channel.startAt)
//	 8 a message is in no history, though its     Gap, if the link was lost          -
//	   channel keeps one, and may be lost         (Timeline.Missed) or the client
//	                                              was on its way (Timeline.Arrive)
//	 9 a panic while a message is delivered       Gap (Hub.tellMissed)               the same
//	10 the client was away, and has a cursor      what it missed; not recovered if   not recovered
//	                                              some of that is gone               (Join.enterNow)
//	                                              (Timeline.Step)
//	11 some of that goes while the client is on   Gap, once for each loss            -
//	   its way                                    (Timeline.Step)
//	12 that cannot be read any more               Missed: it comes back with its     -
//	                                              cursor (resumption.noteEnd)
//	13 the client was away, and has no cursor     it knows that it was away          the same
//	14 the client does not keep up                SlowConsumer: what waits is not    the same
//	                                              written, it comes back (woken.add)
//	15 its session ends otherwise                 the connection ends                the same
//	16 its protocol cannot say a message          the session ends with the error's  the same
//	                                              reason (Channel.dismiss)
//
// Channel, Hub, Join, resumption and woken are those of gateway/internal/hub, Timeline is that
// of gateway/internal/timeline.
//
// Nobody tells what was meant to be left out: messages that were published as
// transient, messages that a newer one replaces where the rule says conflate, one's own
// where the client wants no echo, what is not for its session (Publish.Except), and a
// history that a backend has cleared, of which only a client that resumes hears (10).
//
// Where the promise ends. Of event 8 the first message of its kind is not told if it is
// lost: until one has come, a node cannot know that others publish past the history.
// What a broker confirms and then forgets before any node has heard of it shows as a
// new epoch (4), if the broker's History keeps its contract: an epoch never gives an
// offset twice.
//
// What comes twice. Nobody is given a message twice in one epoch. A client that
// comes from the former epoch is not given again what it has of that, and on a node that was
// there when that epoch began, neither is one that has counted on from before its first
// message. One that was away for two epochs or more gets all that there is: nothing is kept of
// older epochs.
