package inputs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	type wrapped struct{ Token Secret }
	const s = Secret("hunter2")
	tests := []struct{ name, got, want string }{
		{"Reveal", s.Reveal(), "hunter2"},
		{"String", s.String(), "***"},
		{"GoString", s.GoString(), "***"},
		{"empty", Secret("").String(), ""},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%.3s"} {
		tests = append(tests, struct{ name, got, want string }{verb, fmt.Sprintf(verb, s), "***"})
	}
	tests = append(tests, struct{ name, got, want string }{
		"in a struct", fmt.Sprintf("%+v", wrapped{s}),
		"{Token:***}",
	})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { equal(t, tt.got, tt.want) })
	}
	b, err := json.Marshal(wrapped{s})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, string(b), `{"Token":"***"}`)
}

func TestSecrets(t *testing.T) {
	key, _ := newKey(t, "")
	body := strings.Split(strings.TrimSpace(key), "\n")
	body = body[1 : len(body)-1]
	var long []string
	for _, l := range body {
		if len(l) >= 16 {
			long = append(long, l)
		}
	}
	want := append([]string{
		"ghs_token", base64.StdEncoding.EncodeToString([]byte("x-access-token:ghs_token")),
		"pass phrase",
	}, long...)
	for name, text := range map[string]string{
		"lines":          key,
		"Windows":        strings.ReplaceAll(key, "\n", "\r\n"),
		"literal \\n":    strings.ReplaceAll(key, "\n", `\n`),
		"literal \\r\\n": strings.ReplaceAll(key, "\n", `\r\n`),
		"blanks":         strings.ReplaceAll(key, "\n", " "),
	} {
		t.Run(name, func(t *testing.T) {
			in, err := Parse(with(runner(text), map[string]string{"token": "ghs_token", "passphrase": "pass phrase"}))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, in.Secrets(), want)
		})
	}
	equal(t, (&Inputs{}).Secrets(), []string(nil))
}

func TestSecretsAreKnownAlsoWhenTheyAreFaulty(t *testing.T) {
	in, err := Parse(with(runner("not-a-key-but-still-secret"),
		map[string]string{"token": "two words", "passphrase": "a\tb"}))
	if err == nil {
		t.Fatal("no fault")
	}
	got := strings.Join(in.Secrets(), "\n")
	for _, secret := range []string{"not-a-key-but-still-secret", "two words", "a\tb"} {
		if !strings.Contains(got, secret) {
			t.Errorf("%q is not among %q", secret, got)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in %q", secret, err)
		}
	}
}

func TestPrintingInputsGivesNoSecretAway(t *testing.T) {
	key, _ := newKey(t, "")
	in, err := Parse(with(runner(key), map[string]string{"token": "ghs_token", "passphrase": "hunter2hunter2"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, printed := range []string{fmt.Sprintf(verb, in), fmt.Sprintf(verb, *in)} {
			for _, secret := range append(in.Secrets(), fmt.Sprintf("%x", "ghs_token"),
				fmt.Sprintf("%x", "hunter2hunter2")) {
				if strings.Contains(printed, secret) {
					t.Errorf("%s gives %q away", verb, secret)
				}
			}
		}
	}
}

// What is said in public anyway is not taken out of the outputs for the application's having it, too.
func TestWhatTheRunSaysIsNoSecret(t *testing.T) {
	key, _ := newKey(t, "")
	const sha = "0123456789012345678901234567890123456789"
	in, err := Parse(with(runner(key), map[string]string{
		"host": "deployer@web-1.example.com", "server-name": "www.example.com example.com", "ref": sha,
		"env": "ALLOWED_HOSTS=www.example.com\nSENTRY_RELEASE=" + sha + "\nDB_USER=deployer\nREGION_OF=web-1.example" +
			"\nPASSWORD=correct-horse\nURL=https://www.example.com/x",
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(in.Secrets(), "\n") + "\n"
	for value, secret := range map[string]bool{
		"www.example.com": false, sha: false, "deployer": false, "web-1.example": false, "correct-horse": true,
		"https://www.example.com/x": true,
	} {
		if strings.Contains("\n"+got, "\n"+value+"\n") != secret {
			t.Errorf("%s is masked: %t, want %t", value, !secret, secret)
		}
	}
}
