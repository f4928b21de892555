package scripts

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// Talk is what the host's side of the conversation runs as, see [Command].
const Talk Verb = "talk"

// Opening returns what [Talk] is fed first: the line that opens the results, and the loop that
// hears frames (lib/talk.sh), with the text of the verbs of a usual deployment, which goes over
// once; see [Later] for the others. Frames follow. The loop ends when it hears nothing for as long as
// silence.
func Opening(silence time.Duration) []byte {
	head := fmt.Sprintf("silence=%s not_begun=%d\n", Seconds(silence), ExitNotBegun)
	return Pack([]byte(head + loop() + texts()))
}

// seldom are the verbs that a usual deployment has no use for.
var seldom = []Verb{Adopt, Workers, Replace, Resume, Releases, Restore, Logs, Run, Maintenance, Certificate, Remove}

// Later returns, by name, what a verb needs besides what is in the [Opening]. A host gets it with the
// first such verb of a conversation.
func Later(verb Verb) map[string][]byte {
	later := map[string][]byte{}
	for _, part := range parts(verb) {
		if slices.Contains(opened(), part) {
			continue
		}
		later[part] = mustPartText(part)
	}
	return later
}

// opened are the parts in the opening.
var opened = sync.OnceValue(func() []string {
	var all []string
	for _, verb := range Verbs {
		if !slices.Contains(seldom, verb) {
			all = append(all, parts(verb)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
})

// between separates the loop and the parts that stand behind it.
const between = "\x1e"

// loop takes the parts from behind itself: bash takes three times as long about texts in quotes. It
// comes to none of what is there, since the loop never returns.
var loop = sync.OnceValue(func() string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "echo %s\nexport LC_ALL=C\nunset -v part made_of talk_texts\ndeclare -A part made_of\n", Begin)
	out.WriteString("talk_split() { local IFS=$'\\036' -; set -f; talk_texts=($script); unset -v script; }; talk_split\n")
	for _, verb := range Verbs {
		fmt.Fprintf(&out, "made_of[%s]=%s\n", verb, shellescape.Quote(strings.Join(parts(verb), " ")))
	}
	for n, part := range opened() {
		fmt.Fprintf(&out, "part[%s]=${talk_texts[%d]}\n", part, n+1)
	}
	out.WriteString("unset -v talk_texts\n")
	text, err := bareFile("lib/talk.sh")
	if err != nil {
		panic(fmt.Sprintf("scripts: %v", err)) // it is embedded
	}
	out.Write(text)
	return out.String()
})

// texts are those of the parts, and something behind the last one that keeps its line break.
var texts = sync.OnceValue(func() string {
	var out strings.Builder
	for _, part := range opened() {
		out.WriteString(between)
		out.Write(mustPartText(part))
	}
	return out.String() + between + "."
})

// mustPartText is that of a part that is embedded.
func mustPartText(part string) []byte {
	text, err := partText(part)
	if err != nil {
		panic(fmt.Sprintf("scripts: %v", err)) // it is embedded
	}
	return text
}
