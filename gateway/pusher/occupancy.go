package pusher

import (
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"tidegate/gateway"
)

// channelInfo holds the facts of a channel that a request asked for.
type channelInfo struct {
	Occupied          *bool `json:"occupied,omitempty"`
	UserCount         *int  `json:"user_count,omitempty"` // only of a presence channel
	SubscriptionCount *int  `json:"subscription_count,omitempty"`
}

// wants says which counts a request asks for.
type wants struct{ users, subscriptions bool }

func wantsOf(info string) wants {
	asked := strings.Split(info, ",")
	return wants{slices.Contains(asked, "user_count"), slices.Contains(asked, "subscription_count")}
}

// info returns the requested counts of a channel.
func (w wants) info(name string, c gateway.ChannelInfo) *channelInfo {
	info := &channelInfo{}
	if w.users && isPresence(name) {
		info.UserCount = &c.Users
	}
	if w.subscriptions {
		info.SubscriptionCount = &c.Sessions
	}
	return info
}

// infosOf returns the requested counts of several channels. It queries them in parallel.
func (r *request) infosOf(names []string, wanted func(i int) wants) ([]*channelInfo, error) {
	infos := make([]*channelInfo, len(names))
	var asking errgroup.Group
	asking.SetLimit(mostAsking)
	for i, name := range names {
		w := wanted(i)
		if infos[i] = (&channelInfo{}); w == (wants{}) {
			continue
		}
		asking.Go(func() (err error) {
			defer r.gateway.Wall().Catch("count a channel", func() { err = gateway.Failed })
			c, err := r.count(name)
			infos[i] = w.info(name, c)
			return err
		})
	}
	return infos, asking.Wait()
}

// count returns the number of sessions and users on a channel.
func (r *request) count(name string) (gateway.ChannelInfo, error) {
	channel := r.app.channelOf(name)
	found, err := r.gateway.Nodes.Channels(r.Context(), channel)
	i := slices.IndexFunc(found, func(c gateway.ChannelInfo) bool { return c.Channel == channel }) // there may be more: the id of a user may contain a *
	if i < 0 {
		return gateway.ChannelInfo{Channel: channel}, err
	}
	return found[i], err
}

// listChannels returns the channels that have subscribers.
func (r *request) listChannels() (any, error) {
	query := r.URL.Query()
	filter, wants := query.Get("filter_by_prefix"), wantsOf(query.Get("info"))
	switch {
	case strings.IndexFunc(filter, isOdd) >= 0:
		return nil, fail(gateway.BadRequest, "filter_by_prefix is not the beginning of a channel's name")
	case wants.users && !isPresence(filter):
		return nil, fail(gateway.BadRequest, "user_count is for presence channels: ask with filter_by_prefix=presence-")
	}
	found, err := r.gateway.Nodes.Channels(r.Context(), r.app.channelOf(filter)+"*")
	if err != nil {
		return nil, err
	}
	answer := struct {
		Channels map[string]*channelInfo `json:"channels"`
	}{make(map[string]*channelInfo)}
	for _, c := range found {
		if name := r.app.nameOf(c.Channel); checkName(name) == "" {
			answer.Channels[name] = wants.info(name, c)
		}
	}
	return answer, nil
}

func (r *request) showChannel() (any, error) {
	name, wants := r.PathValue("channel"), wantsOf(r.URL.Query().Get("info"))
	switch wrong := checkName(name); {
	case wrong != "":
		return nil, fail(gateway.BadRequest, "%s", wrong)
	case wants.users && !isPresence(name):
		return nil, fail(gateway.BadRequest, "user_count is for presence channels")
	}
	c, err := r.count(name)
	if err != nil {
		return nil, err
	}
	info, occupied := wants.info(name, c), c.Sessions > 0
	info.Occupied = &occupied
	return info, nil
}

func (r *request) listUsers() (any, error) {
	name := r.PathValue("channel")
	switch wrong := checkName(name); {
	case wrong != "":
		return nil, fail(gateway.BadRequest, "%s", wrong)
	case !isPresence(name):
		return nil, fail(gateway.BadRequest, "users are those of presence channels")
	}
	members, err := r.gateway.Members(r.Context(), &r.app.publisher, r.app.channelOf(name))
	if err != nil && !is(err, gateway.NotFound) { // without presence there are no members
		return nil, err
	}
	type user struct {
		ID string `json:"id"`
	}
	answer := struct {
		Users []user `json:"users"`
	}{[]user{}}
	for _, m := range members {
		answer.Users = append(answer.Users, user{r.app.idOf(m.User)})
	}
	return answer, nil
}

func (r *request) terminateConnections() (any, error) {
	_, err := r.gateway.Users.Disconnect(r.Context(), gateway.Whose{User: r.app.userOf(r.PathValue("user"))})
	return struct{}{}, err
}
