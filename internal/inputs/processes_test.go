package inputs

import (
	"strings"
	"testing"
)

func TestProcesses(t *testing.T) {
	key, _ := newKey(t, "")
	in, err := Parse(with(runner(key), map[string]string{
		"processes": "# on the queue\r\nmailer: celery -A shop worker -Q 'a b'\r\n\n beat-1:python3 -m beat: x\nProcfile\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, in.Processes, []Process{{"mailer", "celery -A shop worker -Q 'a b'"}, {"beat-1", "python3 -m beat: x"}})
	if !in.Procfile || in.Overlap {
		t.Errorf("Procfile %t, overlap %t", in.Procfile, in.Overlap)
	}
	for value, want := range map[string]string{
		"mailer":                        "line 1: must be NAME: COMMAND, or just Procfile",
		"a: b\nmailer:":                 "line 2: must be NAME: COMMAND",
		"web: serve":                    "line 1: web is what the input start runs",
		"Mailer: x":                     "line 1: the name must begin with a letter of a-z",
		"../x: y":                       "line 1: the name must begin",
		strings.Repeat("a", 33) + ": x": "line 1: the name must begin",
		"a: 1\nb: 2\na: 3":              "line 3: a is there twice",
		"a b: c":                        "line 1: must be NAME: COMMAND",
		"Procfile.dev":                  "line 1: must be NAME: COMMAND",
	} {
		if _, err := Parse(with(runner(key), map[string]string{"processes": value})); err == nil ||
			!strings.Contains(err.Error(), `input "processes": `+want) {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}
