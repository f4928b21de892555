package scripts

import (
	"bytes"
	"compress/gzip"
	"fmt"
)

// Pack returns a composed script in the form that is sent: a line for bash, and behind it the script as gzip makes it.
// bash reads a script from a pipe byte by byte, so that it takes no more than is its own; what comes after the script
// on standard input stays there here, too, since the line says how many bytes are the script's. Sent like this it is a
// third as long, and is read at once.
//
// The script runs only if all of it has come: gzip checks it, and [Compose] puts it between braces. Where nothing
// follows (more is false) gzip reads to the end by itself, which is a process less.
func Pack(script []byte, more bool) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(script)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("scripts: gzip to memory: %v", err)) // of a level that is unknown
	}
	// The line stands between braces for the case that it is cut off itself. An option that the host's environment has for
	// gzip is not for this one, and the script's text is not for its children.
	bounded := ""
	if more {
		bounded = fmt.Sprintf("head -c %d | ", packed.Len())
	}
	line := fmt.Sprintf("{ [ -n \"${BASH_VERSION-}\" ] || exit %d; set -o pipefail; unset -v GZIP script; "+
		"script=$(%sgzip -dc) || exit; eval \"$script\"; }\n", ExitNotBash, bounded)
	return append([]byte(line), packed.Bytes()...)
}
