package pusher

import (
	"strings"
	"testing"
)

func TestApps_Set(t *testing.T) {
	good := App{ID: "1", Key: "one", Secret: "s"}
	for name, c := range map[string]struct {
		apps []App
		want string
	}{
		"one":                   {[]App{good}, ""},
		"two without a prefix":  {[]App{good, {ID: "2", Key: "two", Secret: "s"}}, ""},
		"two with prefixes":     {[]App{{ID: "1", Key: "one", Secret: "s", Prefix: "a:"}, {ID: "2", Key: "two", Secret: "s", Prefix: "b:"}}, ""},
		"no secret":             {[]App{{ID: "1", Key: "one"}}, "pusher.apps[0]: secret is missing"},
		"no id":                 {[]App{{Key: "one", Secret: "s"}}, "pusher.apps[0]: id"},
		"a path for a key":      {[]App{{ID: "1", Key: "one/two", Secret: "s"}}, "pusher.apps[0]: key"},
		"an id twice":           {[]App{good, {ID: "1", Key: "two", Secret: "s"}}, "pusher.apps[1]: another app has the id"},
		"a key twice":           {[]App{good, {ID: "2", Key: "one", Secret: "s"}}, "pusher.apps[1]: another app has the key"},
		"a prefix that mixes":   {[]App{{ID: "1", Key: "one", Secret: "s", Prefix: "shop"}}, "pusher.apps[0]: prefix"},
		"a prefix of all":       {[]App{{ID: "1", Key: "one", Secret: "s", Prefix: "*:"}}, "pusher.apps[0]: prefix"},
		"a prefix in a prefix":  {[]App{{ID: "1", Key: "one", Secret: "s", Prefix: "a:"}, {ID: "2", Key: "two", Secret: "s", Prefix: "a:b:"}}, "pusher.apps[1]: the prefix"},
		"the same prefix twice": {[]App{{ID: "1", Key: "one", Secret: "s", Prefix: "a:"}, {ID: "2", Key: "two", Secret: "s", Prefix: "a:"}}, "pusher.apps[1]: the prefix"},
	} {
		err := new(Apps).Set(c.apps)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestApps_AChangeKeepsWhatIsSpoken(t *testing.T) {
	var apps Apps
	set := func(list ...App) {
		t.Helper()
		must(t, apps.Set(list))
	}
	set(App{ID: "1", Key: "one", Secret: "s"}, App{ID: "2", Key: "two", Secret: "s"})
	one, _ := apps.byKey("one")
	two, _ := apps.byID("2")

	set(App{ID: "1", Key: "one", Secret: "new"}, App{ID: "3", Key: "three", Secret: "s"})
	if again, settings := apps.byKey("one"); again != one || settings.Secret != "new" {
		t.Errorf("the app is another one, or has the settings %+v", settings)
	}
	if gone, _ := apps.byKey("two"); gone != nil || two.settings.Load() != nil {
		t.Error("an app that was left out is still there")
	}
	if added, _ := apps.byID("3"); added == nil {
		t.Error("an app that was added is not there")
	}
	if err := apps.Set([]App{{ID: "1"}}); err == nil {
		t.Fatal("an app without a key was taken")
	}
	if same, _ := apps.byKey("one"); same != one {
		t.Error("a list that is wrong has changed the apps")
	}
}
