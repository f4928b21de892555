package host

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// What is kept of much begins with a line: a part of one may be a part of a secret, which nobody knows.
func TestWhatIsKeptBeginsWithALine(t *testing.T) {
	for _, tt := range []struct{ name, said, reason, evidence string }{
		{"little", "a line\nno\n", "no", "[a line]"},
		{"much", "key=" + strings.Repeat("5ecre7", tailBytes/6) + "\rmore\nno\n", "no", "[more]"},
		{"one line", strings.Repeat("5ecre7", tailBytes/6+1), "exit status 9", "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var last tail
			for text := tt.said; text != ""; text = text[min(len(text), 1000):] {
				_, _ = io.WriteString(&last, text[:min(len(text), 1000)])
			}
			var no *Error
			err := last.explain(scripts.Build, &remote.ExitError{Code: 9})
			if !errors.As(err, &no) || no.Reason != tt.reason || fmt.Sprint(no.Evidence) != tt.evidence {
				t.Errorf("%v, evidence %v", err, no.Evidence)
			}
			if strings.Contains(last.String(), "5ecre7") {
				t.Errorf("%q", last.String())
			}
		})
	}
}

// The same of what a login says in place of what it was given.
func TestWhatALoginSaysIsShownByWholeLines(t *testing.T) {
	long := "key=" + strings.Repeat("5ecre7", mostSaid/6) + "\n"
	for said, want := range map[string]string{
		"a\n b\nc": "a b c", long + "c\n": "c", long: "…", "": "",
		strings.Repeat("x", mostBefore) + long: "",
	} {
		_, o := (&sshShell{patience: time.Minute}).opening(t.Context(), io.Discard, io.Discard)
		_, _ = io.WriteString(o.words(), said)
		o.over()
		if got := o.said(); got != want {
			t.Errorf("of %.20q it shows %q, want %q", said, got, want)
		}
	}
}
