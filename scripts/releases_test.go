package scripts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a release has of S3 is told by the names of the contents, where it has any.
func TestReleasesAreListedWithTheirAssets(t *testing.T) {
	root := t.TempDir()
	for id, files := range map[string]map[string]string{
		"20261122T000000Z-aaaaaaa": {"complete": "", "commit": "aa\n", "live": "2\n", "assets": "0c17\n9f86-2\n"},
		"20261121T000000Z-9999999": {"complete": "", "commit": "99\n", "live": "1\n", "left": ""},
		"20261120T000000Z-8888888": {"commit": "88\n", "assets": "0c17\n"}, // not complete
	} {
		folder := filepath.Join(root, "releases", id, ".deploy-action")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	text, err := Compose(Releases, Values{
		"app": "shop", "tag": "", "path": root, "history": "0", "list": "no", "step_id": "",
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "release_0=20261122T000000Z-aaaaaaa aa 2\nassets_0=0c17 9f86-2\n" +
		"release_1=20261121T000000Z-9999999 99 1 left\n"
	if out := bash(t, string(text)); !strings.HasSuffix(out, want) {
		t.Errorf("it lists\n%s\nwant\n%s", out, want)
	}
}
