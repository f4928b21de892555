package cloud

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTheFirstAddressThatIsTold(t *testing.T) {
	says := func(status int, text string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	bad := []string{
		says(503, "203.0.113.1"), says(200, "<html>"), says(200, "10.1.2.3\n"), says(200, "127.0.0.1"), says(200, "0.0.0.0"),
		"http://127.0.0.1:1",
	}
	got, err := askMirrors(t.Context(), append(bad, says(200, "203.0.113.7\n"), says(200, "203.0.113.8")))
	if err != nil || got.String() != "203.0.113.7" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := askMirrors(t.Context(), bad); err == nil || !strings.Contains(err.Error(), `the input "runner-cidr"`) {
		t.Errorf("err = %v", err)
	}
}
