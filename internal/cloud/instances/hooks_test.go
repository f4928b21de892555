package instances

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHooksAtLaunches(t *testing.T) {
	a := &fakeAWS{hooks: `<member><LifecycleHookName>deploy</LifecycleHookName><DefaultResult>ABANDON</DefaultResult>
<LifecycleTransition>autoscaling:EC2_INSTANCE_LAUNCHING</LifecycleTransition>` +
		`<HeartbeatTimeout>3600</HeartbeatTimeout></member>
<member><LifecycleHookName>logs</LifecycleHookName><DefaultResult>CONTINUE</DefaultResult>
<LifecycleTransition>autoscaling:EC2_INSTANCE_TERMINATING</LifecycleTransition>` +
		`<HeartbeatTimeout>60</HeartbeatTimeout></member>
<member><LifecycleHookName>warm</LifecycleHookName><DefaultResult>CONTINUE</DefaultResult>
<LifecycleTransition>autoscaling:EC2_INSTANCE_LAUNCHING</LifecycleTransition>` +
		`<HeartbeatTimeout>30</HeartbeatTimeout></member>`}
	f := a.finder(t)
	got, err := f.Hooks(t.Context(), "web")
	want := []Hook{{"web", "deploy", false, time.Hour}, {"web", "warm", true, 30 * time.Second}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if err := f.Hold(t.Context(), got[0], "i-1"); err != nil {
		t.Error(err)
	}
	if err := f.LetGo(t.Context(), got[0], "i-1"); err != nil {
		t.Error(err)
	}
	for i, call := range []map[string]string{
		{"Action": "DescribeLifecycleHooks", "AutoScalingGroupName": "web"},
		{"Action": "RecordLifecycleActionHeartbeat", "LifecycleHookName": "deploy", "InstanceId": "i-1"},
		{"Action": "CompleteLifecycleAction", "LifecycleHookName": "deploy", "LifecycleActionResult": "CONTINUE"},
	} {
		for name, value := range call {
			if asked := a.asked[i]; asked.Get(name) != value || asked.Get("AutoScalingGroupName") != "web" {
				t.Errorf("call %d: %v, want %s %q", i, asked, name, value)
			}
		}
	}
}
