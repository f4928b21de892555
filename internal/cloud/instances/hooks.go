package instances

import (
	"context"
	"net/url"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Hook is one that holds what a group launches before that gets visitors
// (docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html).
type Hook struct {
	Group string
	Name  string
	// LetsGo is whether what it has held goes into service when its time is over, and else is ended.
	LetsGo bool
	For    time.Duration // that it holds an instance of which nobody says anything
}

// Hooks are those at the launch of a group's instances.
func (f *Finder) Hooks(ctx context.Context, group string) ([]Hook, error) {
	var answer struct {
		Hooks []struct {
			Name    string `xml:"LifecycleHookName"`
			At      string `xml:"LifecycleTransition"`
			Result  string `xml:"DefaultResult"`
			Seconds int    `xml:"HeartbeatTimeout"`
		} `xml:"DescribeLifecycleHooksResult>LifecycleHooks>member"`
	}
	values := url.Values{"AutoScalingGroupName": {group}}
	if err := f.aws.Ask(ctx, query.AutoScaling, "DescribeLifecycleHooks", values, &answer); err != nil {
		return nil, err
	}
	var hooks []Hook
	for _, h := range answer.Hooks {
		if h.At == "autoscaling:EC2_INSTANCE_LAUNCHING" {
			hooks = append(hooks, Hook{group, h.Name, h.Result == "CONTINUE", time.Duration(h.Seconds) * time.Second})
		}
	}
	return hooks, nil
}

// Hold has a hook hold an instance from now on for as long as it does from the launch on.
func (f *Finder) Hold(ctx context.Context, h Hook, id string) error {
	return f.aws.Ask(ctx, query.AutoScaling, "RecordLifecycleActionHeartbeat", h.of(id), nil)
}

// LetGo has the group put an instance into service, as far as the hook is concerned.
func (f *Finder) LetGo(ctx context.Context, h Hook, id string) error {
	values := h.of(id)
	values.Set("LifecycleActionResult", "CONTINUE")
	return f.aws.Ask(ctx, query.AutoScaling, "CompleteLifecycleAction", values, nil)
}

func (h Hook) of(id string) url.Values {
	return url.Values{"AutoScalingGroupName": {h.Group}, "LifecycleHookName": {h.Name}, "InstanceId": {id}}
}
