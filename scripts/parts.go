package scripts

import (
	"bytes"
	"fmt"
	"maps"
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
	names    []string // all words in it that may be a function's name
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
	for n := range all {
		all[n].names = namesIn(all[n].text)
	}
	return all, nil
}

// namesIn are the words of a text, once each.
func namesIn(text []byte) []string {
	seen := map[string]bool{}
	for word := range bytes.FieldsFuncSeq(text, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		seen[string(word)] = true
	}
	return slices.Collect(maps.Keys(seen))
}

// needs reports which functions of its files a verb may come to.
func needs(verb Verb, of map[string][]chunk) map[string]bool {
	functions := map[string]chunk{}
	todo := [][]string{namesIn(ofNoFile("end"))}
	for _, part := range begins(verb) {
		todo = append(todo, namesIn(ofNoFile(part)))
	}
	for _, file := range sources(verb) {
		for _, c := range of[file] {
			if c.function == "" || file == string(verb)+".sh" {
				todo = append(todo, c.names)
			} else {
				functions[c.function] = c
			}
		}
	}
	needed := map[string]bool{}
	for len(todo) > 0 {
		names := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, name := range names {
			if c, found := functions[name]; found && !needed[name] {
				needed[name] = true
				todo = append(todo, c.names)
			}
		}
	}
	return needed
}

// partition is how the files of all verbs fall into parts.
type partition struct {
	of   map[Verb][]string // the names of the parts that a verb is sent, in order
	text map[string][]byte // by name

	functions map[string]string // by who is sent them, the part that they are
	last      string            // the part that was added to last,
	lastUsers string            // and who is sent that
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
	p := &partition{of: map[Verb][]string{}, text: map[string][]byte{}, functions: map[string]string{}}
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
	users := fmt.Sprint(verbs)
	part, found := p.last, p.lastUsers == users
	if anywhere {
		part, found = p.functions[users], p.functions[users] != ""
	}
	if !found {
		part = strconv.Itoa(len(p.text))
		for _, verb := range verbs {
			p.of[verb] = append(p.of[verb], part)
		}
	}
	p.text[part] = append(p.text[part], text...)
	if anywhere {
		p.functions[users], p.last, p.lastUsers = part, "", ""
	} else {
		p.last, p.lastUsers = part, users
	}
}
