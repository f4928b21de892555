package scripts

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A version that does not come up is told what is the matter, where that is seen.
func TestHints(t *testing.T) {
	for _, tt := range []struct{ name, files, start, how, want string }{
		{
			"no requirements", "", "uvicorn controller.main:app", "status 127",
			"it has no requirements.txt: add one that names uvicorn",
		},
		{
			"no uvicorn in them", ".venv/bin/pip", "uvicorn controller.main:app", "status 127",
			"the virtual environment of the release has no uvicorn: name it in requirements.txt",
		},
		{"no such command", "", "node server.js", "status 127", "its package belongs in the input packages"},
		{"nohup", "", "nohup ./serve &", "status 0", "without & or nohup"},
		{
			"another module", "main.py", "uvicorn controller.main:app", "status 1",
			"names the module controller.main, and the release has no controller/main.py; the application looks to " +
				"be in main",
		},
		{"that module", "controller/main.py", "uvicorn controller.main:app", "status 1", ""},
		{"in a folder", "api/main.py", "cd api && exec uvicorn main:app", "status 1", ""},
		{
			"a build of one's own", "requirements.txt", "exec uvicorn app:app", "status 127",
			"the release has no virtual environment, since the input build makes none",
		},
		{"a signal", "", "uvicorn controller.main:app", "signal 9", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			slot := filepath.Join(dir, "slots", "8081")
			for file, text := range map[string]string{
				".deploy-action/start": StartFile(tt.start) + "\n",
				tt.files:               "app = FastAPI()\n",
			} {
				if file == "" {
					continue
				}
				if err := os.MkdirAll(filepath.Dir(filepath.Join(slot, file)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(slot, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out := bash(t, fmt.Sprintf("app=a path=%q port=8081\n", dir)+read(t, "lib/base.sh")+read(t,
				"lib/hints.sh")+fmt.Sprintf("exec 2>&1\nhints %q", tt.how))
			if !strings.Contains(out, tt.want) || tt.want == "" && out != "" {
				t.Errorf("it says %q, want %q", out, tt.want)
			}
		})
	}
}

// What a lock file names is installed by its own tool; without it that is said, before anything
// starts.
func TestALockFileNeedsItsTool(t *testing.T) {
	code, out := runCommandIn(t, Build, "", map[string]string{"poetry.lock": ""}, "")
	if code != ExitBuild || !strings.Contains(out, "the release has a poetry.lock and no requirements.txt, and "+
		"`POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	bin := t.TempDir()
	//nolint:gosec // a command
	if err := os.WriteFile(filepath.Join(bin, "uv"), []byte("#!/bin/sh\necho uv \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	code, out = runCommandIn(t, Build, "", map[string]string{"uv.lock": ""}, bin)
	if code != 0 || !strings.Contains(out, "uv sync --frozen --no-dev") || !strings.Contains(out, "built=command") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
