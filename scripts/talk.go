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
// hears frames (lib/talk.sh), with the text of all verbs, which goes over once. Frames follow. The
// loop ends when it hears nothing for as long as silence.
func Opening(silence time.Duration) []byte {
	head := fmt.Sprintf("silence=%s\n", Seconds(silence))
	return Pack([]byte(head + loop()))
}

var loop = sync.OnceValue(func() string {
	var out bytes.Buffer
	var all []string
	fmt.Fprintf(&out, "echo %s\nunset -v part made_of\ndeclare -A part made_of\n", Begin)
	for _, verb := range Verbs {
		fmt.Fprintf(&out, "made_of[%s]=%s\n", verb, shellescape.Quote(strings.Join(parts(verb), " ")))
		all = append(all, parts(verb)...)
	}
	slices.Sort(all)
	for _, part := range slices.Compact(all) {
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
