// Package parameters reads the variables of an application where AWS keeps them: in the Parameter
// Store of Systems Manager and in Secrets Manager. It knows nothing of deployments.
//
// Its errors carry their remedy in their own text, and never a value.
package parameters

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Variable is one, with where it was found, for people.
type Variable struct{ Name, Value, From string }

// Store reads with an account's credentials.
type Store struct{ aws *query.Client }

// Open finds region, server and credentials.
func Open(ctx context.Context, account *cloud.Account) (*Store, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	return &Store{query.New(cfg)}, nil
}

// Below returns the parameters below a path, decrypted, at any depth, by the last part of their
// names and in their order. The path begins and ends with a slash.
func (s *Store) Below(ctx context.Context, path string) ([]Variable, error) {
	var found []Variable
	from := "ssm:" + path
	type question struct {
		Path                      string
		Recursive, WithDecryption bool
		NextToken                 string `json:",omitempty"`
	}
	next := question{Path: path, Recursive: true, WithDecryption: true}
	for {
		var page struct {
			Parameters []struct{ Name, Value string }
			NextToken  string
		}
		if err := s.aws.AskJSON(ctx, query.SystemsManager, "GetParametersByPath", next, &page); err != nil {
			return nil, s.explain(from, "ssm:GetParametersByPath", err)
		}
		for _, p := range page.Parameters {
			v := Variable{lastPart(p.Name), p.Value, "ssm:" + p.Name}
			if twin := slices.IndexFunc(found, func(o Variable) bool { return o.Name == v.Name }); twin >= 0 {
				return nil, fmt.Errorf("%s: %s and %s would be one variable: name a longer path, or give one of them "+
					"another name", from, found[twin].From, v.From)
			}
			found = append(found, v)
		}
		if next.NextToken = page.NextToken; next.NextToken == "" {
			break
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: there is no parameter below that path in region %s: correct the path in the input "+
			"\"env-from\", or the input \"aws-region\"", from, s.aws.Region())
	}
	return sorted(found), nil
}

// Secret returns the variables that a secret holds: those of a JSON object, or one by the last part
// of the secret's name, with its text.
func (s *Store) Secret(ctx context.Context, id string) ([]Variable, error) {
	from := "secretsmanager:" + id
	var secret struct {
		Name         string
		SecretString *string // nil where the secret is bytes
	}
	err := s.aws.AskJSON(ctx, query.SecretsManager, "GetSecretValue", map[string]string{"SecretId": id}, &secret)
	if err != nil {
		return nil, s.explain(from, "secretsmanager:GetSecretValue", err)
	}
	if secret.SecretString == nil {
		return nil, fmt.Errorf("%s: it holds bytes and no text: store it as text", from)
	}
	text := *secret.SecretString
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return []Variable{{lastPart(secret.Name), text, from}}, nil
	}
	found, err := members(text, from)
	if err != nil {
		return nil, err
	}
	return sorted(found), nil
}

// members reads a JSON object of texts, numbers and truth values, which the console and CloudFormation
// write there. The decoder's own errors quote what they read, so they are not passed on.
func members(text, from string) ([]Variable, error) {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil {
		return nil, fmt.Errorf("%s: it begins like a JSON object and is none: write {\"NAME\": \"value\"}", from)
	}
	if len(object) == 0 {
		return nil, fmt.Errorf("%s: it is a JSON object without a member: write {\"NAME\": \"value\"}", from)
	}
	var found []Variable
	for name, raw := range object {
		v := Variable{name, string(raw), from}
		switch raw[0] {
		case '"':
			_ = json.Unmarshal(raw, &v.Value) // it was read as one just now
		case '{', '[', 'n':
			return nil, fmt.Errorf("%s: %q is neither a text nor a number, true or false: a variable has to be one", from,
				name)
		}
		found = append(found, v)
	}
	return found, nil
}

func lastPart(name string) string { return name[strings.LastIndex(name, "/")+1:] }

func sorted(found []Variable) []Variable {
	slices.SortFunc(found, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return found
}
