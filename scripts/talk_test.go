package scripts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/clothesme/deploy-action/remote"
)

// conversation is one with a bash of this machine, whose verbs are texts of the test.
type conversation struct {
	*remote.Talk
	t   *testing.T
	cmd *exec.Cmd
	end chan struct{} // closed when the loop has ended
}

func converse(t *testing.T, silence string, verbs map[string]string) *conversation {
	t.Helper()
	var opening strings.Builder
	fmt.Fprintf(&opening, "{ silence=%s not_begun=%d; declare -A part made_of\n", silence, ExitNotBegun)
	fmt.Fprintf(&opening, "part[turn]=EX_NOT_BEGUN=%d$'\\n'%s\n", ExitNotBegun,
		shellescape.Quote("app=a\n"+read(t, "lib/base.sh")+read(t, "lib/turn.sh")+"await_turn\nset +euo pipefail\n"))
	for name, text := range verbs {
		fmt.Fprintf(&opening, "made_of[%[1]s]='turn %[1]s'; part[%[1]s]=%[2]s\n", name, shellescape.Quote(text+"\n"))
	}
	opening.WriteString(read(t, "lib/talk.sh") + "}\n")
	login := filepath.Join(t.TempDir(), "login")
	if err := os.WriteFile(login, []byte("TMOUT=1 turn_fd=0 turn=2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &conversation{Talk: remote.NewTalk(), t: t, end: make(chan struct{})}
	c.cmd = exec.CommandContext(t.Context(), "bash", "-c", Command(Talk))
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"read", "printf", "wait", "kill", "setsid"} { // a login's
		c.cmd.Env = append(c.cmd.Env, "BASH_FUNC_"+name+"%%=() { echo theirs; }")
	}
	for _, name := range []string{
		"values", "text", "tag", "name", "line", "verb", "part", "made_of", "silence", "turn", "turn_fd",
	} {
		c.cmd.Env = append(c.cmd.Env, name+"=theirs")
	}
	c.cmd.Env = append(append(c.cmd.Env, os.Environ()...), "SHLVL=0", "BASH_ENV="+login)
	c.cmd.WaitDelay = time.Second // something of a verb's may be left, which holds both
	c.cmd.Stdout, c.cmd.Stderr = c.Stdout(), c.Stderr()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(in, io.MultiReader(strings.NewReader(opening.String()), c.Stdin()))
		_ = in.Close()
	}()
	go func() {
		defer close(c.end)
		c.Over(cmpErr(c.cmd.Wait()))
	}()
	t.Cleanup(func() {
		c.Over(errors.New("the test is over"))
		<-c.end
	})
	return c
}

func cmpErr(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// spoken is what a turn has said.
type spoken struct {
	*remote.Turn
	mu             sync.Mutex
	results, words bytes.Buffer
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (s *spoken) said() (results, words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.results.String(), s.words.String()
}

func (c *conversation) begin(verb string, hold bool, values Values) *spoken {
	c.t.Helper()
	return c.beginAll([]string{verb}, hold, values)[0]
}

func (c *conversation) beginAll(verbs []string, hold bool, values Values) []*spoken {
	c.t.Helper()
	var all []*spoken
	var works []remote.Work
	for _, verb := range verbs {
		s := &spoken{}
		all = append(all, s)
		works = append(works, remote.Work{
			Name: verb, Hold: hold, Results: locked{&s.mu, &s.results}, Words: locked{&s.mu, &s.words},
			Text: func(tag string) ([]byte, error) {
				own := maps.Clone(values)
				if own == nil {
					own = Values{}
				}
				own["tag"] = tag
				return Assign(Verb(verb), own)
			},
		})
	}
	turns, err := c.Begin(works...)
	if err != nil {
		c.t.Fatal(err)
	}
	for n, turn := range turns {
		all[n].Turn = turn
	}
	return all
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 6000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within a minute: %s", what)
}

const resultLine = `result() { printf '%s %s=%s\n' "$tag" "$1" "$2"; }` + "\n"

// What a verb prints, says and ends with is its own, whatever else is printed.
func TestAConversationTellsVerbsApart(t *testing.T) {
	value := "a b'\"$(x)\n\xff\x01 é\t\\"
	c := converse(t, "60", map[string]string{
		"say":  resultLine + `result a "$one"; printf 'no line break' >&2; exit 7`,
		"echo": resultLine + `printf '%s' "$value" >&2`,
		"forge": resultLine + `echo b=2; (sleep 600 &)
			bash -c 'echo "$tag end 0"; echo "${script-none}" >&2'; result a 1; printf 'c=3'`,
		"kill": `kill -KILL $$`,
		"name": `echo "$1 $(ps -o sid= -p $$ | tr -d ' ') $$ $(grep SigIgn /proc/self/status)" >&2
			read -r x || echo none >&2`,
		"quiet": `:`,
		"env":   `eval "$login_environment"; env >&2`,
		"alone": resultLine + `kill -KILL "$PPID"; result a 1`,
	})
	ctx := t.Context()

	say := c.begin("say", false, Values{"one": "1"})
	var exit *remote.ExitError
	if err := say.Wait(ctx); !errors.As(err, &exit) || exit.Code != 7 || exit.Signal != "" {
		t.Errorf("say: %v", err)
	}
	if results, words := say.said(); results != "a=1\n" || words != "no line break" {
		t.Errorf("say: %q, %q", results, words)
	}

	echo := c.begin("echo", false, Values{"value": value})
	if err := echo.Wait(ctx); err != nil {
		t.Errorf("echo: %v", err)
	}
	if _, words := echo.said(); words != value {
		t.Errorf("echo: %q, want %q", words, value)
	}

	// A program can't speak for the verb, nor end it; and what it leaves behind keeps nobody
	// waiting.
	forge := c.begin("forge", false, nil)
	if err := forge.Wait(ctx); err != nil {
		t.Errorf("forge: %v", err)
	}
	results, words := forge.said()
	if results != "a=1\n" || words != "none\n" {
		t.Errorf("forge: %q, %q", results, words)
	}

	kill := c.begin("kill", false, nil)
	if err := kill.Wait(ctx); !errors.As(err, &exit) || exit.Signal != "KILL" || exit.Code != 137 {
		t.Errorf("kill: %v", err)
	}

	name := c.begin("name", false, nil)
	if err := name.Wait(ctx); err != nil {
		t.Errorf("name: %v", err)
	}
	var verb, signals, read string
	var session, pid int
	_, words = name.said()
	_, err := fmt.Sscan(words, &verb, &session, &pid, new(string), &signals, &read)
	if err != nil || verb != "name" || session != pid ||
		signals != strings.Fields(bash(t, "grep SigIgn /proc/self/status"))[1] || read != "none" {
		t.Errorf("name: %q, %v; want a session of its own, signals as without the loop, no input", words, err)
	}
	if err := c.begin("quiet", false, nil).Wait(ctx); err != nil {
		t.Errorf("quiet: %v", err)
	}

	// What a login exports by a name that is used here is its own.
	env := c.begin("env", false, Values{"secret": "hunter2"})
	if err := env.Wait(ctx); err != nil {
		t.Errorf("env: %v", err)
	}
	if _, words := env.said(); strings.Contains(words, "hunter2") || !strings.Contains(words, "\nname=theirs\n") ||
		!strings.Contains(words, "SHLVL=1\n") {
		t.Errorf("a command's environment: %q", words)
	}

	alone := c.begin("alone", false, nil)
	until(t, "it ends", func() bool {
		c.Beat()
		select {
		case <-alone.Done():
			return true
		default:
			return false
		}
	})
	var lost *remote.LostError
	if err := alone.Wait(ctx); !errors.As(err, &lost) {
		t.Errorf("a verb that nobody waited for: %v", err)
	}
}

// A verb that is held hears lines until it is let go, and others run beside it.
func TestAConversationHoldsAVerb(t *testing.T) {
	c := converse(t, "60", map[string]string{
		"hold": resultLine + `result fed "$(readlink /proc/$$/fd/0)"
			while read -r _; do echo beat >&2; done; echo over >&2; exit 3`,
		"work": `echo work >&2; for pid in $PPID $$; do find /proc/$pid/fd -lname "$fed" >&2; done`,
	})
	hold := c.begin("hold", true, nil)
	var fed string
	until(t, "held", func() bool {
		results, _ := hold.said()
		fed = strings.TrimSuffix(strings.TrimPrefix(results, "fed="), "\n")
		return fed != ""
	})
	for n := range 3 {
		hold.Feed()
		until(t, "a beat", func() bool { _, words := hold.said(); return strings.Count(words, "beat\n") == n+1 })
	}
	work := c.begin("work", false, Values{"fed": strings.NewReplacer("[", `\[`, "]", `\]`).Replace(fed)})
	if err := work.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if _, words := work.said(); words != "work\n" {
		t.Errorf("it has a part in what another one is fed by: %q", words)
	}
	select {
	case <-hold.Done():
		t.Fatal("it did not wait")
	default:
	}
	hold.Close()
	var exit *remote.ExitError
	if err := hold.Wait(t.Context()); !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("%v", err)
	}
	if _, words := hold.said(); words != "beat\nbeat\nbeat\nover\n" {
		t.Errorf("hold said %q", words)
	}
	hold.Feed() // nobody
	hold.Close()
	if err := c.begin("work", false, Values{"fed": "x"}).Wait(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Who is told to end does, with all that it started; one that does not is not waited for, and what
// it says later is nobody's.
func TestAConversationEndsAVerb(t *testing.T) {
	dir := t.TempDir()
	c := converse(t, "60", map[string]string{
		"wait": `echo here >&2; sleep 600`,
		"stubborn": resultLine + `trap '' TERM; echo here >&2; until [[ -e $dir/go ]]; do sleep 0.05; done
			echo late >&2; result late yes; : >"$dir/gone"`,
		"sleep": `sleep 600`,
		"trap":  `trap 'exit 3' TERM; echo here >&2; while :; do sleep 0.05; done`,
		"next":  `until [[ -e $dir/gone ]]; do sleep 0.05; done; echo next >&2`,
	})
	for _, verb := range []string{"wait", "stubborn"} {
		ctx, cancel := context.WithCancel(t.Context())
		turn := c.begin(verb, false, Values{"dir": dir})
		until(t, "begun", func() bool { _, words := turn.said(); return words == "here\n" })
		cancel()
		var exit *remote.ExitError
		var lost *remote.LostError
		err := turn.Wait(ctx)
		if !errors.Is(err, context.Canceled) || verb == "wait" && (!errors.As(err, &exit) || exit.Signal != "TERM") ||
			verb == "stubborn" && !errors.As(err, &lost) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	// It ends with the status of its own, also when it has hardly begun.
	for n := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		verb := []string{"trap", "sleep"}[n%2]
		turn := c.begin(verb, false, nil)
		if verb == "trap" {
			until(t, "begun", func() bool { _, words := turn.said(); return words == "here\n" })
		}
		cancel()
		var exit *remote.ExitError
		err := turn.Wait(ctx)
		if !errors.As(err, &exit) || verb == "trap" && exit.Code != 3 || verb == "sleep" && exit.Signal != "TERM" {
			t.Errorf("told to end: %v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next := c.begin("next", false, Values{"dir": dir})
	if err := next.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if results, words := next.said(); !strings.HasSuffix(words, "next\n") || results != "" {
		t.Errorf("next: %q, %q", results, words)
	}
}

// Verbs that are sent together run one after the other, and none after one that fails or is ended.
func TestAConversationRunsVerbsTogether(t *testing.T) {
	dir := t.TempDir()
	c := converse(t, "60", map[string]string{
		"one":  resultLine + `echo one >&2; : >"$dir/one"; sleep 0.2; result n 1`,
		"two":  resultLine + `[[ -e $dir/one ]] && echo two >&2; result n 2`,
		"fail": resultLine + `echo no >&2; exit 9`,
		"wait": `echo here >&2; sleep 600`,
		"long": strings.Repeat("# as much as a pipe holds\n", 8<<10), "empty": `[[ ${turn@a}${turn_fd@a} != *x* ]]`,
		"slow": `sleep 1.5`, // longer than the login's TMOUT
		"like": fmt.Sprintf("exit %d", ExitNotBegun),
	})
	values := Values{"dir": dir}
	for n, s := range c.beginAll([]string{"one", "two", "two"}, false, values) {
		if err := s.Wait(t.Context()); err != nil {
			t.Errorf("%d: %v", n, err)
		}
		results, words := s.said()
		if want := []string{"one", "two", "two"}[n]; words != want+"\n" ||
			results != fmt.Sprintf("n=%d\n", min(n+1, 2)) {
			t.Errorf("%d: %q, %q", n, results, words)
		}
	}
	for range 10 { // the last is there to hear before the one in front of it has heard
		for n, s := range c.beginAll([]string{"empty", "long", "empty", "empty"}, false, values) {
			if err := s.Wait(t.Context()); err != nil {
				t.Fatalf("%d: %v", n, err)
			}
		}
	}
	var exit *remote.ExitError
	if err := c.begin("like", false, values).Wait(t.Context()); !errors.As(err, &exit) || exit.Code != ExitNotBegun {
		t.Errorf("one that has begun: %v", err)
	}
	for _, alone := range []int{0, 1} { // one by itself that fails says nothing to those that come together next
		for range alone {
			_ = c.begin("fail", false, values).Wait(t.Context())
		}
		for n, s := range c.beginAll([]string{"empty", "slow", "empty"}, false, values) {
			if err := s.Wait(t.Context()); err != nil {
				t.Errorf("after one that failed, %d: %v", n, err)
			}
		}
	}
	failed := c.beginAll([]string{"one", "fail", "two", "two"}, false, values)
	for n, s := range failed {
		err := s.Wait(t.Context())
		var exit *remote.ExitError
		if n == 0 && err != nil || n == 1 && (!errors.As(err, &exit) || exit.Code != 9) ||
			n > 1 && !errors.Is(err, remote.ErrSkipped) {
			t.Errorf("%d: %v", n, err)
		}
		if _, words := s.said(); n > 1 && words != "" {
			t.Errorf("%d said %q", n, words)
		}
	}
	ended := c.beginAll([]string{"wait", "two"}, false, values)
	until(t, "begun", func() bool { _, words := ended[0].said(); return words == "here\n" })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ended[0].Wait(ctx); !errors.As(err, &exit) || exit.Signal != "TERM" {
		t.Errorf("ended: %v", err)
	}
	if err := ended[1].Wait(t.Context()); !errors.Is(err, remote.ErrSkipped) {
		t.Errorf("after one that was ended: %v", err)
	}
}

// The loop ends with its run, or when it hears nothing of it; what is held ends then, and what
// works goes on.
func TestAConversationEnds(t *testing.T) {
	for _, silent := range []bool{false, true} {
		dir := t.TempDir()
		silence := "60"
		if silent {
			silence = "5"
		}
		c := converse(t, silence, map[string]string{
			"hold": `: >"$dir/held"; while read -r _; do :; done; : >"$dir/let-go"`,
			"work": `trap : PIPE; : >"$dir/began"; until [[ -e $dir/go ]]; do sleep 0.05; done; : >"$dir/worked"`,
		})
		hold, work := c.begin("hold", true, Values{"dir": dir}), c.begin("work", false, Values{"dir": dir})
		file := func(name string) func() bool {
			return func() bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
		}
		until(t, "hold begins", file("held"))
		until(t, "work begins", file("began"))
		lost := errors.New("lost")
		if !silent {
			c.Over(lost)
		}
		until(t, "it lets go", file("let-go"))
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		until(t, "the work is done", file("worked"))
		for _, turn := range []*spoken{hold, work} {
			if err := turn.Wait(t.Context()); !silent && !errors.Is(err, lost) {
				t.Errorf("%v", err)
			}
		}
		<-c.end
	}
}

// A conversation that is cut off in the middle of a verb runs nothing of it.
func TestAVerbThatIsCutOffRunsNothing(t *testing.T) {
	var whole bytes.Buffer
	whole.WriteString("{ silence=60; declare -A part made_of; made_of[x]=x; part[x]=$'exit 0\\n'\n" +
		read(t, "lib/talk.sh") + "}\n")
	head := whole.Len()
	text := "tag=T; echo ran >&2\n" + strings.Repeat("# padding\n", 20)
	fmt.Fprintf(&whole, "verb T %d x\n%s", len(text), text)
	for n := head; n <= whole.Len(); n += 7 {
		if n+7 > whole.Len() {
			n = whole.Len()
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-s")
		cmd.Stdin = bytes.NewReader(whole.Bytes()[:n])
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		if ran := strings.Contains(string(out), "ran"); ran != (n == whole.Len()) {
			t.Errorf("of the first %d of %d bytes came %q", n, whole.Len(), out)
		}
	}
}

// What is no frame ends the conversation, so that nobody waits for an answer: something else has
// read a part of what was sent, or sent it.
func TestWhatIsNoFrameEndsTheConversation(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin = strings.NewReader("{ silence=60; declare -A part made_of\n" + read(t, "lib/talk.sh") +
		"}\nbeat\nag=T; echo ran >&2\n")
	out, err := cmd.CombinedOutput()
	if len(out) > 0 || cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%q, %v", out, err)
	}
}

// What the host puts together is what stands alone elsewhere.
func TestTheOpeningHasAllVerbs(t *testing.T) {
	if n := strings.Count(loop()+texts(), between); n != len(opened())+1 {
		t.Errorf("%d parts are told from each other by %d separators", len(opened()), n)
	}
	for _, verb := range Verbs {
		values := Values{"app": "shop", "tag": "T"}
		alone, err := Compose(verb, values)
		if err != nil {
			t.Fatal(err)
		}
		text, err := Assign(verb, values)
		if err != nil {
			t.Fatal(err)
		}
		// The loop's own functions are replaced where they would run something.
		later := ""
		for part, text := range Later(verb) {
			later += "part[" + part + "]=" + shellescape.Quote(string(text)) + "\n"
		}
		script := "script=" + shellescape.Quote(loop()+texts()) + "\n" + strings.TrimSuffix(loop(), "talk_main\n") +
			"\n" + later +
			"talk_shell() { cat; }\ntalk_name=" + string(verb) +
			" talk_kind=verb talk_tag=T talk_values=" +
			shellescape.Quote(string(text)) + "\ndeclare -A talk_jobs talk_inputs; talk_tags=() talk_names=() " +
			"talk_texts=(); talk_begin; wait\n"
		cmd := exec.CommandContext(t.Context(), "bash")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		_, got, _ := strings.Cut(strings.TrimSuffix(string(out), "T end 0\n"), "\"; }\n")
		want := "unset -v turn turn_fd; \n" +
			strings.TrimSuffix(strings.TrimPrefix(string(alone), "echo "+Begin+"\n{\n"), "}\n")
		if got != want {
			t.Errorf("%s: the host puts together %d bytes, want %d", verb, len(got), len(want))
		}
	}
}

// A verb that comes after one that is being ended never begins, whenever the word comes: also just
// between the two. Who waits tells the later ones to end as well, as a run does.
func TestAConversationEndsWhatWouldComeNext(t *testing.T) {
	dir := t.TempDir()
	c := converse(t, "60", map[string]string{
		"site": `:`, "switch": `sleep 0.15; : >"$file"`,
	})
	took := time.Hour
	for range 5 {
		began := time.Now()
		if err := c.beginAll([]string{"site"}, false, Values{"file": "x"})[0].Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = min(took, time.Since(began))
	}
	cut := 0
	for n := range 60 {
		file := filepath.Join(dir, fmt.Sprint(n))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(took/2+took*time.Duration(n)/40, cancel)
		both := c.beginAll([]string{"site", "switch"}, false, Values{"file": file})
		first := both[0].Wait(ctx)
		second := both[1].Wait(ctx)
		cancel()
		if first == nil {
			continue
		}
		cut++
		if second == nil {
			t.Errorf("it was told to end (%v), and the next one ran to its end", first)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("the next one did its work")
		}
	}
	t.Logf("%d of 60 were cut off in the first of two", cut)
}

// Verbs are told to end at any moment, also in the one between two beginnings, of who feeds a verb
// more than a pipe holds and of the verb: then all end, and none that says that it was skipped has
// begun.
func TestAConversationEndsVerbsAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("# as much as a pipe holds\n", 8<<10)
	c := converse(t, "60", map[string]string{"work": long + `: >"$dir/$tag"`})
	took := time.Hour
	for range 3 {
		began := time.Now()
		for _, s := range c.beginAll([]string{"work", "work", "work"}, false, Values{"dir": dir}) {
			if err := s.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		took = min(took, time.Since(began))
	}
	skipped := 0
	for n := range 60 {
		folder := filepath.Join(dir, fmt.Sprint(n))
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		all := c.beginAll([]string{"work", "work", "work"}, false, Values{"dir": folder})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(took*time.Duration(n)/50, cancel)
		begun := len(all)
		for m, s := range all {
			err := s.Wait(ctx)
			if errors.Is(err, remote.ErrSkipped) {
				begun = min(begun, m)
			} else if err == nil && begun < m {
				t.Errorf("%d: the %dth ran to its end after the %dth was skipped", n, m, begun)
			}
		}
		cancel()
		skipped += len(all) - begun
		did, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		if len(did) > begun {
			t.Errorf("%d: %d did their work, and only %d had begun", n, len(did), begun)
		}
	}
	t.Logf("%d of 180 were skipped", skipped)
}

// A shell that waits for its turn goes with who would have told it, also while another verb is held.
func TestWhoWaitsGoesWithWhoWouldCallIt(t *testing.T) {
	c := converse(t, "60", map[string]string{
		"hold": `echo held >&2; while read -r _; do :; done`,
		"work": `echo "$PPID $$" >&2; exec sleep 600`,
		"next": `:`,
	})
	hold := c.begin("hold", true, nil)
	until(t, "held", func() bool { _, words := hold.said(); return words != "" })
	both := c.beginAll([]string{"work", "next"}, false, nil)
	var job, work int
	until(t, "begun", func() bool {
		_, words := both[0].said()
		_, err := fmt.Sscan(words, &job, &work)
		return err == nil
	})
	t.Cleanup(func() { _ = syscall.Kill(work, syscall.SIGKILL) })
	command := func(pid string) string { // nothing of one that has ended
		text, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil {
			return ""
		}
		return string(text)
	}
	next := ""
	until(t, "the next one's shell is there", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", job))
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range strings.Fields(string(children)) {
			if strings.HasSuffix(command(pid), "\x00next\x00") {
				next = pid
			}
		}
		return next != ""
	})
	if err := syscall.Kill(job, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool {
		c.Beat()
		return command(next) == ""
	})
	select {
	case <-hold.Done():
		t.Error("what is held has ended, too")
	default:
	}
}

// With the conversation what comes next ends too: only what is at work comes to its end.
func TestNothingBeginsOnceTheConversationIsOver(t *testing.T) {
	dir := t.TempDir()
	c := converse(t, "60", map[string]string{
		"site":   `trap : PIPE; : >"$dir/began"; until [[ -e $dir/go ]]; do sleep 0.02; done; : >"$dir/done"`,
		"switch": `: >"$dir/switched"`,
	})
	file := func(name string) func() bool {
		return func() bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	}
	c.beginAll([]string{"site", "switch"}, false, Values{"dir": dir})
	until(t, "it begins", file("began"))
	c.Over(errors.New("lost"))
	<-c.end
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "it is done", file("done"))
	time.Sleep(300 * time.Millisecond) // what does not come can't be waited for
	if file("switched")() {
		t.Error("what was to come next has begun")
	}
}

// A verb has its three streams and no more of what the loop has open, and nothing is said of one that
// is killed but how it has ended.
func TestAVerbHasNothingOfTheLoop(t *testing.T) {
	theirs := map[string]bool{} // what this test was started with
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			theirs[to] = true
		}
	}
	c := converse(t, "60", map[string]string{
		"open": `find /proc/$$/fd -lname "pipe:*" ! -name "[0-2]" -printf "%f %l\n" >&2`,
		"held": `while read -r _; do :; done`,
		"kill": `kill -KILL $$`,
	})
	held := c.begin("held", true, nil)
	open := c.begin("open", true, nil)
	open.Close()
	for _, turn := range append(c.beginAll([]string{"open", "open"}, false, nil), open) {
		if err := turn.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, words := turn.said()
		for line := range strings.Lines(words) {
			if _, to, _ := strings.Cut(strings.TrimSpace(line), " "); !theirs[to] {
				t.Errorf("open is %q", line)
			}
		}
	}
	for _, hold := range []bool{false, true} {
		turn := c.begin("kill", hold, nil)
		var exit *remote.ExitError
		if err := turn.Wait(t.Context()); !errors.As(err, &exit) || exit.Signal != "KILL" {
			t.Errorf("killed: %v", err)
		}
		if results, words := turn.said(); results != "" || words != "" {
			t.Errorf("killed: %q, %q", results, words)
		}
	}
	held.Close()
	if err := held.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is seldom needed goes over with the first verb that needs it, and once.
func TestWhatIsSeldomNeededGoesOverWhenItIs(t *testing.T) {
	for _, verb := range Verbs {
		if later := Later(verb); (len(later) > 0) != slices.Contains(seldom, verb) {
			t.Errorf("%s: %d parts go over with it", verb, len(later))
		}
	}
	talk := remote.NewTalk()
	cmd := exec.CommandContext(t.Context(), "bash", "-s", "--", "talk")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Stdin = io.MultiReader(bytes.NewReader(Opening(time.Minute)), talk.Stdin())
	cmd.Stdout, cmd.Stderr = talk.Stdout(), talk.Stderr()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		talk.Over(io.EOF)
		_ = cmd.Wait()
	})
	for range 2 {
		var results, words bytes.Buffer
		turns, err := talk.Begin(remote.Work{
			Name: string(Releases), Parts: Later(Releases), Results: &results, Words: &words,
			Text: func(tag string) ([]byte, error) {
				return Assign(Releases, Values{
					"tag": tag, "app": "shop", "path": t.TempDir(), "list": "no", "history": "0", "ports": "8080 8081",
				})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := turns[0].Wait(t.Context()); err != nil {
			t.Fatalf("%v: %s%s", err, &results, &words)
		}
	}
}

// A line may come in parts. After a part and silence nothing more is waited for, and nothing of it is
// done.
func TestALineMayComeInParts(t *testing.T) {
	t.Parallel()
	const verb = "tag=T"
	whole := fmt.Sprintf("verb T %d x\n%s", len(verb), verb)
	for cut := 1; cut < len(whole)-len(verb); cut++ {
		for _, comes := range []bool{true, false} {
			cmd := exec.CommandContext(t.Context(), "bash", "-s")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			silence := map[bool]string{true: "60", false: "0.2"}[comes]
			if _, err = io.WriteString(in, "{ silence="+silence+" not_begun=9; declare -A part made_of\n"+
				"made_of[x]=x; part[x]=$'\\necho ran\\n'\n"+read(t, "lib/talk.sh")+"}\n"+whole[:cut]); err != nil {
				t.Fatal(err)
			}
			if comes {
				time.Sleep(10 * time.Millisecond) // for the first part to be read alone, most times
				_, err = io.WriteString(in, whole[cut:])
				err = errors.Join(err, in.Close())
			}
			if err = errors.Join(err, cmd.Wait()); err != nil {
				t.Errorf("%v: %q", err, out.String())
			}
			if ran := strings.Contains(out.String(), "ran"); ran != comes {
				t.Errorf("of %q came %q, its rest: %t; it said %q", whole, whole[:cut], comes, out.String())
			}
		}
	}
}

// A login may set a limit for all reads that nobody can take back. A verb whose turn comes later than that
// is still begun.
func TestALoginsLimitEndsNoWaitForATurn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ comes, want string }{
		{"sleep 1.5; echo 1", "begun\n"}, {"sleep 1.5; echo end", ""}, {"sleep 1.5", ""},
	} {
		out, err := exec.CommandContext(t.Context(), "bash", "-c", "readonly TMOUT=1 EX_NOT_BEGUN=9; set -euo pipefail\n"+
			read(t, "lib/turn.sh")+"turn=1; exec {turn_fd}< <("+tt.comes+"); await_turn; echo begun").Output()
		if string(out) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.comes, out, err)
		}
	}
}
