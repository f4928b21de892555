package inputs

import "testing"

func TestRun(t *testing.T) {
	tests := []struct {
		name, url string
		env       map[string]string
		want      Run
	}{
		{"no workflow", "", nil, Run{ServerURL: "https://github.com"}},
		{
			"the first attempt", "https://ghe.example.com/o/r/actions/runs/7",
			map[string]string{
				"GITHUB_SERVER_URL": "https://ghe.example.com/", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7",
				"GITHUB_RUN_ATTEMPT": "1", "GITHUB_ACTOR": "a",
			},
			Run{ID: "7", Attempt: "1", Actor: "a", ServerURL: "https://ghe.example.com", Repository: "o/r"},
		},
		{
			"another attempt, by somebody else", "https://github.com/o/r/actions/runs/7/attempts/2",
			map[string]string{
				"GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_ACTOR": "a",
				"GITHUB_TRIGGERING_ACTOR": "b",
			},
			Run{ID: "7", Attempt: "2", Actor: "b", ServerURL: "https://github.com", Repository: "o/r"},
		},
		{
			"a name with control characters", "",
			map[string]string{"GITHUB_WORKFLOW": " de\nploy\x1b[0m\xff "},
			Run{Workflow: "deploy[0m\ufffd", ServerURL: "https://github.com"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run, err := parseRun(func(name string) string { return tt.env[name] })
			if err != nil {
				t.Fatal(err)
			}
			equal(t, run, tt.want)
			equal(t, run.URL(), tt.url)
		})
	}
}
