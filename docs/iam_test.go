package docs

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

var (
	// asked are calls that need no client of the SDK, clients those that have one.
	asked   = regexp.MustCompile(`\.Ask(?:JSON)?\(ctx, query\.(\w+),\s+"(\w+)"`)
	asks    = regexp.MustCompile(`\.Ask(?:JSON)?\(ctx,`)
	clients = regexp.MustCompile(`&(awss3|sts)\.(\w+)Input\{`)
	inputs  = regexp.MustCompile(`&[\w.]+\.\w+Input\{`)
	service = regexp.MustCompile(`(?m)^\t(\w+) += Service\{\s*name: "([a-z0-9-]+)"`)
)

// called returns the actions that the code asks AWS for, as policies name them.
func called(t *testing.T) []string {
	t.Helper()
	var all string
	err := filepath.WalkDir("../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"awss3": "s3", "sts": "sts"}
	for _, m := range service.FindAllStringSubmatch(all, -1) {
		names[m[1]] = m[2]
	}
	found := append(asked.FindAllStringSubmatch(all, -1), clients.FindAllStringSubmatch(all, -1)...)
	if n := len(asks.FindAllString(all, -1)) + len(inputs.FindAllString(all, -1)); len(found) != n || n < 15 {
		t.Errorf("%d calls are understood of %d", len(found), n)
	}
	// What AWS asks in our name: the version of an object, whether one is missing, and its key; the tags of
	// an image, and whether a group could launch it. And what is asked for by a URL that is signed.
	actions := []string{
		"s3:GetObjectVersion", "s3:ListBucket", "kms:Decrypt", "ec2:CreateTags", "ec2:RunInstances", "iam:PassRole",
		"ec2-instance-connect:OpenTunnel",
	}
	for _, m := range found {
		actions = append(actions, names[m[1]]+":"+strings.Replace(m[2], "HeadObject", "GetObject", 1))
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// TestPoliciesAreOfTheCode: the actions in the policies of iam.md, and in the trust policy of the
// role, are those that the code asks for, and no other page has policies of its own.
func TestPoliciesAreOfTheCode(t *testing.T) {
	var allowed []string
	for _, page := range pages(t) {
		for _, block := range regexp.MustCompile("(?s)\n```json\n(.*?)\n```").FindAllStringSubmatch(readPage(t, page), -1) {
			if !strings.Contains(block[1], `"Statement"`) {
				continue
			}
			if name := filepath.Base(page); name != "iam.md" && name != "aws-credentials.md" {
				t.Errorf("%s has a policy of its own: link to iam.md in its place", page)
			}
			var policy struct{ Statement []struct{ Action any } }
			if err := json.Unmarshal([]byte(block[1]), &policy); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, block[1])
			}
			for _, s := range policy.Statement {
				switch action := s.Action.(type) {
				case string:
					allowed = append(allowed, action)
				case []any:
					for _, one := range action {
						allowed = append(allowed, one.(string)) //nolint:forcetypeassert // no test goes on without
					}
				}
			}
		}
	}
	slices.Sort(allowed)
	if allowed, want := slices.Compact(allowed), called(t); !slices.Equal(allowed, want) {
		t.Errorf("the policies allow %q, the code asks for %q", allowed, want)
	}
}

// TestPoliciesAreTried: each action on iam.md is taken away by an end-to-end test, as the page says, which has
// to name it; but for that of KMS.
func TestPoliciesAreTried(t *testing.T) {
	var tests string
	files, err := filepath.Glob("../e2e/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests += string(text)
	}
	for _, action := range called(t) {
		if action == "kms:Decrypt" || action == "sts:AssumeRoleWithWebIdentity" { // which is a matter of conditions
			continue
		}
		if !regexp.MustCompile(`["\s]` + action + `["\s]`).MatchString(tests) {
			t.Errorf("no test takes %s away", action)
		}
	}
}

// TestRefusalsSayWhatThePageSays: the statement that an error has for an action is the one of iam.md.
// Where it has none it leads there.
func TestRefusalsSayWhatThePageSays(t *testing.T) {
	type statement struct {
		Action    any
		Resource  any
		Condition any
	}
	var whole, told int
	blocks := regexp.MustCompile("(?s)\n```json\n(.*?)\n```")
	for _, block := range blocks.FindAllStringSubmatch(readPage(t, "iam.md"), -1) {
		var policy struct{ Statement []statement }
		if err := json.Unmarshal([]byte(strings.ReplaceAll(block[1], "REGION", "eu-central-1")), &policy); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
		for _, s := range policy.Statement {
			actions, many := s.Action.([]any)
			if !many {
				actions = []any{s.Action}
			}
			for _, action := range actions {
				name := action.(string) //nolint:forcetypeassert // as above
				said := (&query.Error{Action: name, Region: "eu-central-1", Status: 403, Code: "AccessDenied"}).Error()
				_, text, found := strings.Cut(said, ": put {")
				text, _, _ = strings.Cut(text, " into its policy (")
				if !found {
					if told++; !strings.Contains(said, "docs/iam.md") {
						t.Errorf("%s: neither a statement nor a word where it is", said)
					}
					continue
				}
				whole++
				var got statement
				want := statement{action, s.Resource, s.Condition}
				if err := json.Unmarshal([]byte("{"+text), &got); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %v; iam.md has %v", said, err, want)
				}
			}
		}
	}
	if whole < 5 || told < 10 {
		t.Errorf("errors have the statement of %d actions, and lead to that of %d", whole, told)
	}
}
