package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
)

const aKey = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Whoever reads a recipe must not find a value of env by trying all there are.
func TestARecipeTellsNothingOfEnv(t *testing.T) {
	recipe := func(key, pin string) string {
		in := &inputs.Inputs{Env: []inputs.Variable{{Name: "PIN", Value: inputs.Secret(pin)}}}
		return assemble(&run{in: in}).recipe.of(&target{found: found{recipeKey: key}})
	}
	one := recipe(aKey, "271828")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(one) || one != recipe(aKey, "271828") {
		t.Fatalf("recipe %q", one)
	}
	if one == recipe(aKey, "271829") {
		t.Error("another value has the same recipe")
	}
	other := strings.Repeat("f", len(aKey))
	for pin := range 1000 {
		if guess := fmt.Sprintf("%06d", 271000+pin); recipe("", guess) == one || recipe(other, guess) == one {
			t.Fatalf("found without the host's key: %s", guess)
		}
	}
}

// What an earlier version wrote says the same after the host has made it such, so that the next run
// of the same commit is unchanged.
func TestOldRecipesGetTheHostsKey(t *testing.T) {
	env := []inputs.Variable{{Name: "PIN", Value: "271828"}}
	d := assemble(&run{in: &inputs.Inputs{Repository: "acme/shop", Env: env}})
	path := t.TempDir()
	file := func(release string) string {
		return filepath.Join(path, "releases", release, ".deploy-action", "recipe")
	}
	for release, text := range map[string]string{"old": d.recipe.of(&target{}), "other": "0123456789abcdef"} {
		if err := os.MkdirAll(filepath.Dir(file(release)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(release), []byte(text+"\n"), 0o644); err != nil { //nolint:gosec // as it was
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	base := read("../../scripts/lib/base.sh")
	files := read("../../scripts/lib/files.sh") + "\n" + read("../../scripts/lib/hold.sh")
	var key string
	for range 2 { // and stays as it is from then on
		cmd := exec.CommandContext(t.Context(), "bash", "-s")
		cmd.Stdin = strings.NewReader("app=a path=" + path + "\n" + base + "\n" + files + "\nrecipe_keys\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		key = read(filepath.Join(path, ".recipe-key"))
		if !state.KeyForm.MatchString(key) || key == "" {
			t.Fatalf("key %q", key)
		}
		if got, want := read(file("old")), d.recipe.of(&target{found: found{recipeKey: key}}); got != want {
			t.Errorf("recipe %s, want %s", got, want)
		}
	}
	for _, name := range []string{file("old"), file("other"), filepath.Join(path, ".recipe-key")} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
