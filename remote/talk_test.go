package remote

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// frame reads what a turn is begun with: its tag and its text.
func frame(t *testing.T, in *bufio.Reader) (tag, text string) {
	t.Helper()
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(line)
	if len(words) != 4 {
		t.Fatalf("frame %q", line)
	}
	var size int
	if _, err := fmt.Sscan(words[2], &size); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(in, body); err != nil {
		t.Fatal(err)
	}
	return words[1], string(body)
}

// What a turn says is the same however its bytes arrive, and its end is seen in the midst of a
// line.
func TestATurnsWordsArriveWhole(t *testing.T) {
	for size := 1; size < 80; size++ {
		talk := NewTalk()
		in := bufio.NewReader(talk.Stdin())
		var results, words [2]bytes.Buffer
		var out, errs strings.Builder
		var turns []*Turn
		for n := range 2 {
			begun, err := talk.Begin(Work{
				Name: "say", Hold: n == 0, Results: &results[n], Words: &words[n],
				Text: func(tag string) ([]byte, error) { return []byte("it is " + tag), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			turns = append(turns, begun...)
			tag, text := frame(t, in)
			if text != "it is "+tag {
				t.Fatalf("text %q", text)
			}
			fmt.Fprintf(&out, "a=1\n%s a=%d\nforged end 0\nwithout its line break%s b=3\n", tag, n, tag)
		}
		held, verb := turns[0].tag, turns[1].tag
		// Both speak; the one that is held has no words while the other is there.
		fmt.Fprintf(&out, "\n%s end 0\n\n%s end 143\n", verb, held)
		fmt.Fprintf(&errs, "half a tag: %s\n%s%sand the held one%s\n", verb[:9], verb[:3], verb+"\n", held)
		for _, stream := range []struct {
			w    io.Writer
			text string
		}{{talk.Stderr(), errs.String()}, {talk.Stdout(), out.String()}} {
			for text := stream.text; text != ""; text = text[min(size, len(text)):] {
				_, _ = io.WriteString(stream.w, text[:min(size, len(text))])
			}
		}
		var exit *ExitError
		if err := turns[0].Wait(t.Context()); !errors.As(err, &exit) || exit.Code != 143 || exit.Signal != "TERM" {
			t.Fatalf("%d at a time: %v", size, err)
		}
		if err := turns[1].Wait(t.Context()); err != nil {
			t.Fatalf("%d at a time: %v", size, err)
		}
		for n, want := range []string{"and the held one", fmt.Sprintf("half a tag: %s\n%s", verb[:9], verb[:3])} {
			if got := words[n].String(); got != want {
				t.Errorf("%d at a time: words %q, want %q", size, got, want)
			}
			if got := results[n].String(); got != fmt.Sprintf("a=%d\nb=3\n", n) {
				t.Errorf("%d at a time: results %q", size, got)
			}
		}
	}
}

// A line that ends is not held back: people read along.
func TestWordsAreNotHeldBack(t *testing.T) {
	talk := NewTalk()
	var words bytes.Buffer
	turns, err := talk.Begin(Work{
		Name: "say", Results: io.Discard, Words: &words, Text: func(string) ([]byte, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	turn := turns[0]
	_, _ = io.WriteString(talk.Stderr(), "building\n")
	if words.String() != "building\n" {
		t.Errorf("%q", words.String())
	}
	_, _ = io.WriteString(talk.Stderr(), turn.tag[:4]) // may be the end, and was none
	talk.Over(io.EOF)
	if words.String() != "building\n"+turn.tag[:4] {
		t.Errorf("%q", words.String())
	}
	if err := turn.Wait(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Wait: %v", err)
	}
	if _, err := talk.Begin(Work{Text: func(string) ([]byte, error) { return nil, nil }}); !errors.Is(err, io.EOF) {
		t.Errorf("Begin: %v", err)
	}
	if text, err := io.ReadAll(talk.Stdin()); err != nil ||
		!strings.HasPrefix(string(text), "verb "+turn.tag+" 0 say\n") {
		t.Errorf("%q, %v", text, err)
	}
}

// What runs beside a turn that is held says nothing before that one is ready: until then words are
// those of who waits, such as for a lock.
func TestWhoWaitsHasTheWords(t *testing.T) {
	talk := NewTalk()
	in := bufio.NewReader(talk.Stdin())
	var words [2]bytes.Buffer
	begin := func(n int, behind *Turn) *Turn {
		turns, err := talk.Begin(Work{
			Name: "say", Hold: n == 0, Behind: behind, Results: io.Discard, Words: &words[n],
			Text: func(string) ([]byte, error) { return nil, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		frame(t, in)
		return turns[0]
	}
	lock := begin(0, nil)
	begin(1, lock)
	say := func(text string) { _, _ = io.WriteString(talk.Stderr(), text) }
	say("waiting\n")
	lock.Ready()
	say("checking\n")
	if words[0].String() != "waiting\n" || words[1].String() != "checking\n" {
		t.Errorf("%q and %q", words[0].String(), words[1].String())
	}
}

// A turn is told to end when nobody waits for it any more, unless it is to go on.
func TestATurnIsLeftAtWork(t *testing.T) {
	for _, tt := range []struct {
		cause error
		told  bool
	}{{fmt.Errorf("no time: %w", ErrLeave), false}, {errors.New("cancelled"), true}} {
		talk := NewTalk()
		in := bufio.NewReader(talk.Stdin())
		var results, words bytes.Buffer
		turns, err := talk.Begin(Work{
			Name: "say", Results: &results, Words: &words, Text: func(string) ([]byte, error) { return nil, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		tag, _ := frame(t, in)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(tt.cause)
		talk.mute = true // a host that answers no more has no time to end it in
		err = turns[0].Wait(ctx)
		var lost *LostError
		if !errors.Is(err, tt.cause) || !errors.As(err, &lost) || errors.Is(lost.Err, ErrLeave) == tt.told {
			t.Errorf("%v: %v", tt.cause, err)
		}
		talk.Beat()
		line, err := in.ReadString('\n')
		if told := line == "end "+tag+"\n"; err != nil || told != tt.told {
			t.Errorf("%v: it hears %q, %v", tt.cause, line, err)
		}
		_, err = fmt.Fprintf(talk.Stdout(), "%s late=1\n", tag)
		if err != nil || strings.Contains(results.String(), "late") {
			t.Errorf("results %q, %v", &results, err)
		}
	}
}

// A turn whose turn it was, and which the host skipped nevertheless, is lost: whoever was to tell it to begin is
// gone. One behind a turn that has failed, or was told to end, is skipped.
func TestWhatIsSkippedForNoReasonIsLost(t *testing.T) {
	for _, tt := range []struct {
		name, first string
		told        bool
		lost        bool
	}{
		{"the first one has ended well", "0", false, true},
		{"the first one has failed", "1", false, false},
		{"the first one was told to end, and has ended well", "0", true, false},
		{"nobody knows how the first one did", "lost", false, false},
	} {
		talk := NewTalk()
		in := bufio.NewReader(talk.Stdin())
		work := Work{
			Name: "say", Results: io.Discard, Words: io.Discard, Text: func(string) ([]byte, error) { return nil, nil },
		}
		turns, err := talk.Begin(work, work, work)
		if err != nil {
			t.Fatal(err)
		}
		ends := []string{tt.first, "skipped", "skipped"}
		var tags []string
		for range turns {
			tag, _ := frame(t, in)
			tags = append(tags, tag)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		if tt.told {
			cancel()
			go func() { waited <- turns[0].Wait(ctx) }()
			if line, err := in.ReadString('\n'); err != nil || line != "end "+tags[0]+"\n" {
				t.Fatalf("%s: it hears %q, %v", tt.name, line, err)
			}
		}
		for n, tag := range tags {
			_, _ = fmt.Fprintf(talk.Stdout(), "%s end %s\n", tag, ends[n])
			_, _ = fmt.Fprintf(talk.Stderr(), "%s\n", tag)
		}
		if tt.told {
			if err := <-waited; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		var lost *LostError
		if err := turns[1].Wait(t.Context()); errors.As(err, &lost) != tt.lost || errors.Is(err, ErrSkipped) == tt.lost {
			t.Errorf("%s: the second: %v", tt.name, err)
		}
		if err := turns[2].Wait(t.Context()); !errors.Is(err, ErrSkipped) {
			t.Errorf("%s: the third: %v", tt.name, err)
		}
		cancel()
	}
}
