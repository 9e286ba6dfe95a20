// Package brokertest is the conformance suite for implementations of package broker. It also
// runs the servers that brokers need in tests.
package brokertest

import (
	"testing"
)

// Run runs the suite. It calls makeSubject for a new subject for each test.
func Run(t *testing.T, makeSubject func(*testing.T) Subject) {
	RunIn(t, func(t *testing.T, test func(*testing.T)) { test(t) }, makeSubject)
}

// RunIn is like Run, but runs each test inside in, which may be synctest.Test.
func RunIn(t *testing.T, in func(t *testing.T, test func(*testing.T)), makeSubject func(*testing.T) Subject) {
	tests := []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"Lifecycle/LinkIsToldUp", testLinkIsToldUp},
		{"Lifecycle/NothingAfterRun", testNothingAfterRun},
		{"Live/FieldsArrive", testFieldsArrive},
		{"Live/PayloadsArrive", testPayloadsArrive},
		{"Live/AnyChannelName", testAnyChannelName},
		{"Live/OnlySubscribedChannels", testOnlySubscribedChannels},
		{"Live/SubscribeAgain", testSubscribeAgain},
		{"Live/SubscribeTogether", testSubscribeTogether},
		{"Live/EveryNodeReceives", testEveryNodeReceives},
		{"Live/OrderPerChannel", testOrderPerChannel},
		{"Live/OrderWithoutWaiting", testOrderWithoutWaiting},
		{"Live/ManyChannelsAtOnce", testManyChannelsAtOnce},
		{"Live/BarePublish", testBarePublish},
		{"Live/BarePassesForNoEnvelope", testBarePassesForNoEnvelope},
		{"Live/BareFromBackend", testBareFromBackend},
		{"Live/EndedContext", testEndedContext},
		{"Key/PublishedOnce", testKeyPublishedOnce},
		{"Key/FirstPositionReturned", testKeyFirstPosition},
		{"Key/ConcurrentPublishers", testKeyConcurrent},
		{"History/PositionsCountUp", testPositionsCountUp},
		{"History/ReceivedInOrderOfOffset", testReceivedInOrderOfOffset},
		{"History/Since", testSince},
		{"History/SinceLost", testSinceLost},
		{"History/Latest", testLatest},
		{"History/Nothing", testNothing},
		{"History/PageOfBytes", testPageOfBytes},
		{"History/TrimmedToSize", testTrimmedToSize},
		{"History/Expires", testExpires},
		{"History/Tops", testTops},
		{"History/Clear", testClear},
		{"Presence/JoinAndLeaveOnce", testJoinAndLeaveOnce},
		{"Presence/SessionsAreAddedUp", testSessionsAreAddedUp},
		{"Presence/InfoElsewhere", testInfoElsewhere},
		{"Presence/Linger", testLinger},
		{"Presence/DeadNodeHasNobody", testDeadNodeHasNobody},
		{"Presence/SilenceOfAllIsNoDeath", testSilenceOfAllIsNoDeath},
		{"Presence/KeptNodeLives", testKeptNodeLives},
		{"Presence/WholeReplaces", testWholeReplaces},
		{"Presence/AtLeastFollowsLaterOnes", testAtLeast},
		{"Presence/OldAttendanceDoesNothing", testOldAttendance},
		{"Presence/UnknownIsSaid", testUnknownIsSaid},
		{"Presence/ForgottenIsSaid", testForgottenIsSaid},
		{"Presence/ConcurrentNodes", testConcurrentNodes},
		{"Presence/AnyUserName", testAnyUserName},
		{"Presence/ManyChannels", testManyChannels},
		{"Presence/MembersBySession", testMembersBySession},
		{"Presence/NothingStays", testNothingStays},
		{"Notices/AreOfFirstAndLast", testNoticesAreOfFirstAndLast},
		{"Notices/OfLingers", testNoticesOfLingers},
		{"Notices/OfADeadNode", testNoticesOfADeadNode},
		{"Notices/OneTellerAtATime", testOneTellerAtATime},
		{"Notices/StandInTheirLines", testNoticesStandInTheirLines},
		{"Notices/OfADeadNodeCount", testNoticesOfADeadNodeCount},
		{"Notices/OfMessages", testNoticesOfMessages},
		{"Notices/OfARepeatedPublish", testNoticesOfARepeatedPublish},
		{"Notices/LineIsBounded", testLineIsBounded},
		{"Register/IsShared", testRegisterIsShared},
		{"Register/Versions", testRegisterVersions},
		{"Register/Expires", testRegisterExpires},
		{"Register/IsBounded", testRegisterIsBounded},
	}
	t.Run("Lifecycle/NothingBeforeRun", func(t *testing.T) {
		in(t, func(t *testing.T) { testNothingBeforeRun(t, makeSubject(t)) })
	})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in(t, func(t *testing.T) { test.test(t, runSubject(t, makeSubject(t))) })
		})
	}
}
