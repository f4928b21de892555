package inputs

import (
	"strings"
	"testing"
)

func TestStrategy(t *testing.T) {
	key, _ := newKey(t, "")
	for _, tt := range []struct{ operation, start, want, fault string }{
		{"deploy", defaultStart, "uvicorn controller.main:app --fd 3", ""},
		{"deploy", "node server.js", "node server.js", ""},
		{"deploy", ".venv/bin/gunicorn app:app", ".venv/bin/gunicorn app:app", ""},
		{
			"deploy", "gunicorn --bind fd://3 app:app", "",
			"gunicorn takes the socket by itself, and fails over --bind fd://3",
		},
		{"deploy", "exec uvicorn app:app --fd=3 --workers 2", "exec uvicorn app:app --fd=3 --workers 2", ""},
		{
			"deploy", "uvicorn app:app --port $PORT", "",
			`takes the socket that it is given as descriptor 3, and uvicorn listens by itself there: write`,
		},
		{"deploy", "/opt/venv/bin/hypercorn -b 127.0.0.1:$PORT app:app", "", "and hypercorn listens by itself"},
		{"deploy", "cd web && flask run --port $PORT", "", "and flask listens by itself"},
		{"rollback", "uvicorn app:app --port $PORT", "uvicorn app:app --port $PORT", ""},
	} {
		in, err := Parse(with(runner(key), map[string]string{
			"strategy": "in-place", "operation": tt.operation,
			"start": tt.start,
		}))
		switch {
		case tt.fault != "":
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: %v, want %q", tt.start, err, tt.fault)
			}
		case err != nil || in.Start != tt.want || in.Strategy != InPlace:
			t.Errorf("%s: %+v, %v; want %q", tt.start, in, err, tt.want)
		}
	}
}
