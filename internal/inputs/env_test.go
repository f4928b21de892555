package inputs

import "testing"

func TestEnvIsTakenByteForByte(t *testing.T) {
	const text = "# a comment\r\nQUOTED=\"a\" 'b' \r\nEMPTY=\nSIGNS=$HOME %i \\ `x` #y =z<<w\n\nLINES<<THE " +
		"END\none\n A=2\n\nTHE END\nLAST= é漢  "
	key, _ := newKey(t, "")
	in, err := Parse(with(runner(key), map[string]string{"env": text}))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, in.Env, []Variable{
		{"QUOTED", "\"a\" 'b' "}, {"EMPTY", ""}, {"SIGNS", "$HOME %i \\ `x` #y =z<<w"}, {
			"LINES",
			"one\n A=2\n",
		}, {"LAST", " é漢  "},
	})
}

func TestLongValuesOfEnvAreSecrets(t *testing.T) {
	key, _ := newKey(t, "")
	in, err := Parse(with(runner(key), map[string]string{
		"token": "",
		"env":   "A=short\nB=correct horse\nC=production\nD<<E\nfirst line\nx\nE",
	}))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]bool{}
	for _, s := range in.Secrets() {
		secrets[s] = true
	}
	for value, want := range map[string]bool{
		"short": false, "correct horse": true, "production": false,
		"first line": true, "x": false,
	} {
		if secrets[value] != want {
			t.Errorf("secret(%q) = %t, want %t", value, secrets[value], want)
		}
	}
}
