package aws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// moto knows the actions of a policy, but neither resources nor conditions: it holds every call
// against the resource "*". So it gets the actions alone, and the rest is judged here.

// Policy is one as IAM has it, with what is allowed alone.
type Policy struct {
	Version   string
	Statement []Statement
}

// Statement is one of them: what the owner of the policy may do with resources, or a principal with it.
type Statement struct {
	Effect    string
	Principal map[string]list `json:",omitempty"`
	Action    list
	Resource  list                       `json:",omitempty"`
	Condition map[string]map[string]list `json:",omitempty"`
}

// list is one text or several.
type list []string

// UnmarshalJSON reads either.
func (l *list) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*l = list{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(l))
}

// ParsePolicy reads one, and knows no more of it than Policy has: what it can't judge it refuses.
func ParsePolicy(text string) (*Policy, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	p := new(Policy)
	if err := decoder.Decode(p); err != nil {
		return nil, fmt.Errorf("policy %s: %w", text, err)
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" || len(s.Action) == 0 || (len(s.Resource) == 0) == (len(s.Principal) == 0) {
			return nil, fmt.Errorf("policy %s: a statement must allow actions on resources, or to principals", text)
		}
		for operator := range s.Condition {
			if operator != "StringEquals" && operator != "NumericEquals" {
				return nil, fmt.Errorf("policy %s: the condition %s is not known here", text, operator)
			}
		}
	}
	return p, nil
}

// Actions is the policy without resources and conditions, for moto.
func (p *Policy) Actions() (string, error) {
	bare := Policy{Version: p.Version}
	for _, s := range p.Statement {
		bare.Statement = append(bare.Statement, Statement{Effect: s.Effect, Action: s.Action, Resource: list{"*"}})
	}
	text, err := json.Marshal(bare)
	return string(text), err
}

// For is the policy as one of a resource, which lets nobody but this user do what it allows.
func (p *Policy) For(user string) (string, error) {
	of := Policy{Version: p.Version, Statement: slices.Clone(p.Statement)}
	for i := range of.Statement {
		of.Statement[i].Principal = map[string]list{"AWS": {user}}
	}
	text, err := json.Marshal(of)
	return string(text), err
}

// allows tells whether a statement lets an action have a resource.
func (p *Policy) allows(action, resource string, facts map[string]string) bool {
	return slices.ContainsFunc(p.Statement, func(s Statement) bool {
		if !slices.Contains(s.Action, action) || !slices.ContainsFunc(s.Resource, func(pattern string) bool {
			pattern = strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
			return regexp.MustCompile("^" + pattern + "$").MatchString(resource)
		}) {
			return false
		}
		return s.holds(facts)
	})
}

// holds tells whether its conditions do.
func (s Statement) holds(facts map[string]string) bool {
	for _, condition := range s.Condition {
		for key, values := range condition {
			if fact, known := facts[key]; !known || !slices.Contains(values, fact) {
				return false
			}
		}
	}
	return true
}

// Judge holds calls to a policy, where instances have these tags; account is the number in ARNs.
func (b *Bridge) Judge(p *Policy, account string, tags map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.policy, b.account, b.tags = p, account, tags
}

var scope = regexp.MustCompile(`Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request`)

// refuses says why a call is not allowed, or nothing.
func (b *Bridge) refuses(call *Call, r *http.Request) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if b.policy == nil || found == nil { // a call without a signature has no policy
		return ""
	}
	region, service := found[1], found[2]
	facts := map[string]string{"aws:RequestedRegion": region}
	for _, w := range b.ofImages(call, region) {
		if !b.policy.allows(w.action, w.resource, w.facts) {
			return w.refusal()
		}
	}
	if call.Action == "CreateImage" {
		return ""
	}
	var said struct{ InstanceID, InstanceOSUser, Name, Path, SecretID string }
	_ = json.Unmarshal(call.Body, &said) // of a form nothing is read
	arn := func(of, what string) string { return fmt.Sprintf("arn:aws:%s:%s:%s:%s", of, region, b.account, what) }
	resource := "*"
	instance := ""
	switch call.Action {
	case "SendSSHPublicKey":
		instance, facts["ec2:osuser"] = said.InstanceID, said.InstanceOSUser
	case "GetConsoleOutput":
		instance = call.Form.Get("InstanceId")
	case "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress":
		resource = arn("ec2", "security-group/"+call.Form.Get("GroupId"))
	case "RecordLifecycleActionHeartbeat", "CompleteLifecycleAction":
		resource = arn("autoscaling", "autoScalingGroup:0:autoScalingGroupName/"+call.Form.Get("AutoScalingGroupName"))
	case "GetParameter":
		resource = arn("ssm", "parameter"+said.Name)
	case "GetParametersByPath":
		resource = arn("ssm", "parameter"+said.Path)
	case "GetSecretValue": // AWS puts six characters behind the name
		resource = arn("secretsmanager", "secret:"+said.SecretID+"-AbC123")
	case "CreateLaunchTemplateVersion", "ModifyLaunchTemplate":
		resource = arn("ec2", "launch-template/"+call.Form.Get("LaunchTemplateId"))
	case "UpdateAutoScalingGroup":
		resource = arn("autoscaling", "autoScalingGroup:0:autoScalingGroupName/"+call.Form.Get("AutoScalingGroupName"))
	case "DeregisterImage", "DeleteSnapshot":
		resource = "arn:aws:ec2:" + region + "::image/" + call.Form.Get("ImageId")
		if id := call.Form.Get("SnapshotId"); id != "" {
			resource = "arn:aws:ec2:" + region + "::snapshot/" + id
		}
		for name, value := range b.made {
			facts["aws:ResourceTag/"+name] = value
		}
	}
	if instance != "" {
		resource = arn("ec2", "instance/"+instance)
		for name, value := range b.tags {
			facts["aws:ResourceTag/"+name] = value
		}
	}
	if action := service + ":" + call.Action; resource != "*" && !b.policy.allows(action, resource, facts) ||
		resource == "*" && !b.policy.anywhere(action, facts) {
		return fmt.Sprintf("User: deploy is not authorized to perform: %s on resource: %s", action, resource)
	}
	return ""
}

// want is something that a call has to be allowed.
type want struct {
	action, resource string
	facts            map[string]string
	says             string // what AWS says without it; "": its usual words
}

func (w want) refusal() string {
	if w.says != "" {
		return w.says
	}
	return fmt.Sprintf("User: deploy is not authorized to perform: %s on resource: %s", w.action, w.resource)
}

// ofImages is what AWS wants of who makes an image, of several resources, and of who gives a group a version
// by its number, which is more than the call itself.
func (b *Bridge) ofImages(call *Call, region string) []want {
	instance := map[string]string{}
	for name, value := range b.tags {
		instance["aws:ResourceTag/"+name] = value
	}
	switch call.Action {
	case "CreateImage":
		b.made = map[string]string{}
		for n := 1; call.Form.Get(fmt.Sprintf("TagSpecification.2.Tag.%d.Key", n)) != ""; n++ {
			tag := fmt.Sprintf("TagSpecification.2.Tag.%d.", n)
			b.made[call.Form.Get(tag+"Key")] = call.Form.Get(tag + "Value")
		}
		arn := "arn:aws:ec2:" + region + ":"
		making := map[string]string{"ec2:CreateAction": "CreateImage"}
		return []want{
			{"ec2:CreateImage", arn + b.account + ":instance/" + call.Form.Get("InstanceId"), instance, ""},
			{"ec2:CreateImage", arn + ":image/ami-1", nil, ""},
			{"ec2:CreateImage", arn + ":snapshot/snap-1", nil, ""},
			{"ec2:CreateTags", arn + ":image/ami-1", making, ""},
			{"ec2:CreateTags", arn + ":snapshot/snap-1", making, ""},
		}
	case "UpdateAutoScalingGroup":
		const mixed = "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId"
		says := "You are not authorized to use launch template: " + call.Form.Get("LaunchTemplate.LaunchTemplateId") +
			call.Form.Get(mixed)
		return []want{
			{"ec2:RunInstances", "*", map[string]string{"aws:RequestedRegion": region}, says},
			{"iam:PassRole", "arn:aws:iam::" + b.account + ":role/web", nil, says},
		}
	}
	return nil
}

// anywhere is allows for actions whose resources are not known here: any will do.
func (p *Policy) anywhere(action string, facts map[string]string) bool {
	return slices.ContainsFunc(p.Statement, func(s Statement) bool {
		return slices.ContainsFunc(s.Resource, func(resource string) bool { return p.allows(action, resource, facts) })
	})
}

// refuse answers as AWS does in the language of the call, of which EC2 has one of its own.
func refuse(w http.ResponseWriter, call *Call, why string) {
	w.WriteHeader(http.StatusForbidden)
	switch {
	case call.Form == nil:
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": "AccessDeniedException", "message": why})
	case call.Form.Get("Version") == ec2Version:
		_, _ = fmt.Fprintf(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>%s</Message></Error>"+
			"</Errors></Response>", why)
	default:
		_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"+
			"<Message>%s</Message></Error></ErrorResponse>", why)
	}
}

const ec2Version = "2016-11-15"
