package inputs

import "strings"

// helpWidth is where the lines of the help end, in columns.
const helpWidth = 100

const usage = `
Usage: deploy-action --INPUT=VALUE ...

Every input is a flag, or an environment variable: --known-hosts or DEPLOY_KNOWN_HOSTS. With -file
after its name it is read from a file: --known-hosts-file=FILE. A secret (key, passphrase, token,
env and the like) is read from a file or from the environment only.

  --output=FILE
      The file that gets the outputs, as lines such as DEPLOYED_OUTCOME=deployed. Without it they
      are the log's last lines.

  --help, --version
`

// Help is the table of the inputs, as action.yml describes them.
func Help(action string) string {
	described := descriptions(action)
	var b strings.Builder
	b.WriteString(described[""] + "\n" + usage)
	for _, f := range fields() {
		if f.shape.secret() {
			b.WriteString("\n  --" + f.name + "-file=FILE")
		} else {
			b.WriteString("\n  --" + f.name + "=VALUE")
		}
		switch {
		case f.required != "":
			b.WriteString(" (required)")
		case f.def != "":
			b.WriteString(" (" + f.def + ")")
		}
		wrap(&b, described[f.name])
	}
	return b.String()
}

// wrap writes words as lines of their own.
func wrap(b *strings.Builder, text string) {
	const indent = "\n     "
	column := helpWidth
	for word := range strings.FieldsSeq(text) {
		if column += len(" ") + len(word); column > helpWidth {
			b.WriteString(indent)
			column = len(indent) + len(word)
		}
		b.WriteString(" " + word)
	}
	b.WriteString("\n")
}

// descriptions are those of the inputs in action.yml, and of the action itself, whose name is "".
// It reads no more of YAML than action.yml has: a description is the rest of its line, or the lines
// below it that stand further to the right.
func descriptions(action string) map[string]string {
	action, _, _ = strings.Cut(action, "\noutputs:\n")
	described := map[string]string{}
	name, within := "", ""
	for line := range strings.Lines(action) {
		text := strings.TrimSpace(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if within != "" && indent > len(within) {
			described[name] += " " + text
			continue
		}
		within = ""
		if indent == 2 {
			name = strings.TrimSuffix(text, ":")
		}
		if rest, ok := strings.CutPrefix(text, "description:"); ok && (indent == 4 || name == "") {
			described[name] = strings.TrimSpace(strings.TrimSuffix(rest, ">-"))
			within = line[:indent]
			if indent == 0 {
				within = ""
			}
		}
	}
	return described
}
