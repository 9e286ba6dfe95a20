package gateway

// The promise: no client misses a message without being told.
//
// The table lists the events that may make a client miss a message, and how the client
// learns of it. A channel with history is repaired first: the node reads what the history
// has and sends it, and reports a loss only if messages may be gone for good. "Gap" is the
// event of that name. A protocol that cannot express it ends the session with Missed, or the
// one subscription (Frame.Last), at a random moment within some seconds; until then the
// session receives nothing from the channel. "Not recovered" is a Subscribed without
// Recovered, sent to a client that resumes with a cursor.
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
//	 9 a panic while a message is delivered       Gap (Channel.tellMissed)           the same
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
// Channel, Hub, Join, resumption and woken are types of gateway/internal/hub; Timeline is a
// type of gateway/internal/timeline.
//
// Nothing is reported for messages that are left out on purpose: those published as
// transient, those replaced by a newer one where the rule says conflate, a client's own
// messages if it wants no echo, those not meant for its session (Publish.Except), and a
// history cleared by a backend, which only a client that resumes notices (10).
//
// Limits of the promise. If the first message of event 8 on a channel is lost, that is not
// reported: until one such message has arrived, a node cannot know that others publish
// without the history. A message that the broker confirms and then forgets before any node
// has received it shows as a new epoch (4), provided that the broker's History keeps its
// contract never to give the same offset twice in an epoch.
//
// Duplicates. No client receives a message twice within one epoch. A client that resumes
// from the former epoch does not receive again what it has of that epoch. On a node that was
// running when the former epoch began, this also holds for a client that has counted on from
// before its first message. A client that was away for two epochs or more receives all that
// there is, because nothing is kept about older epochs.
