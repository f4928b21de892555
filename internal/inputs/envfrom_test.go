package inputs

import "testing"

func TestPlacesOfVariables(t *testing.T) {
	key, _ := newKey(t, "")
	in, err := Parse(with(runner(key), map[string]string{
		"env-from": "ssm:/shop/prod/, ssm:/\nsecretsmanager:shop/env\n\n" +
			"secretsmanager:arn:aws:secretsmanager:eu-central-1:1:secret:x-AbCdEf",
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range in.EnvFrom {
		got = append(got, s.String())
	}
	equal(t, got, []string{
		"ssm:/shop/prod/", "ssm:/", "secretsmanager:shop/env",
		"secretsmanager:arn:aws:secretsmanager:eu-central-1:1:secret:x-AbCdEf",
	})
}
