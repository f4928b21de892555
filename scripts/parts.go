package scripts

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// A verb is sent those functions of its shared files that it may come to, and everything that
// stands outside of functions: bash takes longer to read a script than most verbs take to run. What
// a function may come to is what it names, be it in a trap, as the argument of another or in a text;
// so no script puts the name of a function together.
//
// A part is what the same verbs are sent.

// chunk is a function, or what stands between two.
type chunk struct {
	function string // its name; nothing for what stands between two
	text     []byte
}

// idle reports whether nothing is in it that bash would do.
func (c chunk) idle() bool {
	for line := range bytes.Lines(c.text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

var opensFunction = regexp.MustCompile(`^([a-z_][a-z0-9_]*)\(\) \{`)

// chunks are those of a file, one after the other.
func chunks(file string) ([]chunk, error) {
	text, err := bareFile(file)
	if err != nil {
		return nil, err
	}
	var all []chunk
	open := false
	for line := range bytes.Lines(text) {
		begins := opensFunction.FindSubmatch(line)
		switch {
		case open:
		case begins != nil:
			all = append(all, chunk{function: string(begins[1])})
			open = bytes.HasSuffix(line, []byte("{\n"))
		case len(all) == 0 || all[len(all)-1].function != "":
			all = append(all, chunk{})
		}
		last := &all[len(all)-1]
		last.text = append(last.text, line...)
		if begins == nil && line[0] == '}' {
			open = false
		}
	}
	if open {
		return nil, fmt.Errorf("bug in deploy-action: %s: a function has no end", file)
	}
	return all, nil
}

var words = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

// needs reports which functions of its files a verb may come to.
func needs(verb Verb, of map[string][]chunk) map[string]bool {
	functions := map[string][]byte{}
	todo := [][]byte{ofNoFile("begin"), ofNoFile("end")}
	for _, file := range sources(verb) {
		for _, c := range of[file] {
			if c.function == "" || file == string(verb)+".sh" {
				todo = append(todo, c.text)
			} else {
				functions[c.function] = c.text
			}
		}
	}
	needed := map[string]bool{}
	for len(todo) > 0 {
		text := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, word := range words.FindAll(text, -1) {
			if name := string(word); functions[name] != nil && !needed[name] {
				needed[name] = true
				todo = append(todo, functions[name])
			}
		}
	}
	return needed
}

// partition is how the files of all verbs fall into parts.
type partition struct {
	of   map[Verb][]string // the names of the parts that a verb is sent, in order
	text map[string][]byte // by name

	users    map[string][]Verb // of each
	function map[string]bool   // it consists of functions
	last     string            // the one that was added to last
}

// partitioned: what the first file begins with comes first, since it takes a login's functions away;
// then functions, in whatever order; then what else stands outside of them, which may call them; at
// last the verb's own file.
var partitioned = sync.OnceValue(func() *partition {
	of, shared := map[string][]chunk{}, []string(nil)
	for _, verb := range Verbs {
		for _, file := range sources(verb) {
			if of[file] != nil {
				continue
			}
			all, err := chunks(file)
			if err != nil {
				panic(fmt.Sprintf("scripts: %v", err)) // it is embedded
			}
			of[file] = all
			if file != string(verb)+".sh" {
				shared = append(shared, file)
			}
		}
	}
	p := &partition{
		of: map[Verb][]string{}, text: map[string][]byte{}, users: map[string][]Verb{}, function: map[string]bool{},
	}
	p.add(Verbs, of[shared[0]][0].text, false)
	users := map[string][]Verb{} // of each function and of each file
	for _, verb := range Verbs {
		for name := range needs(verb, of) {
			users[name] = append(users[name], verb)
		}
		for _, file := range sources(verb) {
			users[file] = append(users[file], verb)
		}
	}
	for _, file := range shared {
		for _, c := range of[file] {
			if c.function != "" {
				used := slices.DeleteFunc(slices.Clone(users[c.function]), func(verb Verb) bool {
					return !slices.Contains(users[file], verb) // another function has the same name there
				})
				p.add(used, c.text, true)
			}
		}
	}
	for n, file := range shared {
		for m, c := range of[file] {
			if c.function == "" && !c.idle() && n+m > 0 {
				p.add(users[file], c.text, false)
			}
		}
	}
	for _, verb := range Verbs {
		for _, c := range of[string(verb)+".sh"] {
			p.add([]Verb{verb}, c.text, false)
		}
	}
	return p
})

// add has these verbs sent a text: with what was added last or, where the order does not matter, at any
// time, if they alone are sent that.
func (p *partition) add(verbs []Verb, text []byte, anywhere bool) {
	if len(verbs) == 0 {
		return // nobody needs it
	}
	part := ""
	for name := range p.text {
		if anywhere == p.function[name] && (anywhere || name == p.last) && slices.Equal(p.users[name], verbs) {
			part = name
		}
	}
	if part == "" {
		part = strconv.Itoa(len(p.text))
		p.function[part], p.users[part] = anywhere, verbs
		for _, verb := range verbs {
			p.of[verb] = append(p.of[verb], part)
		}
	}
	p.text[part], p.last = append(p.text[part], text...), part
}
