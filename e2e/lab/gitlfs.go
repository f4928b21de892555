package lab

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// LFS keeps a text as Git LFS does, beside the repository, and returns the pointer to commit in its
// place.
func (r *Repo) LFS(text string) string {
	oid := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lfs == nil {
		r.lfs = make(map[string]string)
	}
	r.lfs[oid] = text
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(text))
}

// serveLFS is as much of the protocol (git-lfs, docs/api/batch.md) as a download takes.
func (r *Repo) serveLFS(w http.ResponseWriter, req *http.Request, rest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if oid, isObject := strings.CutPrefix(rest, "objects/"); isObject && req.Method == http.MethodGet {
		_, _ = io.WriteString(w, r.lfs[oid])
		return
	}
	var batch struct {
		Objects []struct {
			OID  string `json:"oid"`
			Size int    `json:"size"`
		} `json:"objects"`
	}
	if rest != "objects/batch" || json.NewDecoder(req.Body).Decode(&batch) != nil {
		http.Error(w, "{}", http.StatusNotFound)
		return
	}
	objects := []map[string]any{}
	for _, o := range batch.Objects {
		object := map[string]any{"oid": o.OID, "size": o.Size}
		if _, known := r.lfs[o.OID]; known {
			href := "http://" + req.Host + "/" + r.name + ".git/info/lfs/objects/" + o.OID
			object["actions"] = map[string]any{"download": map[string]any{"href": href}}
		} else {
			object["error"] = map[string]any{"code": http.StatusNotFound, "message": "no such object"}
		}
		objects = append(objects, object)
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": objects})
}
