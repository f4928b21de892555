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
	return Pack([]byte(head + loop()))
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
		text, err := partText(part)
		if err != nil {
			panic(fmt.Sprintf("scripts: %v", err)) // it is embedded
		}
		later[part] = text
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

var loop = sync.OnceValue(func() string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "echo %s\nunset -v part made_of\ndeclare -A part made_of\n", Begin)
	for _, verb := range Verbs {
		fmt.Fprintf(&out, "made_of[%s]=%s\n", verb, shellescape.Quote(strings.Join(parts(verb), " ")))
	}
	for _, part := range opened() {
		text, err := partText(part)
		if err != nil {
			panic(fmt.Sprintf("scripts: %v", err)) // it is embedded
		}
		fmt.Fprintf(&out, "part[%s]=%s\n", part, shellescape.Quote(string(text)))
	}
	text, err := bareFile("lib/talk.sh")
	if err != nil {
		panic(fmt.Sprintf("scripts: %v", err))
	}
	out.Write(text)
	return out.String()
})
