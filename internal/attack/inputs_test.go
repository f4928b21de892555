package attack

import "testing"

// onInputs: what leaves its alphabet is refused before anything is dialled.
func onInputs(t *testing.T, table *Table) {
	t.Helper()
	for _, tt := range []struct{ name, input, value string }{
		{"an option for ssh", "host", "-oProxyCommand=touch pwned"},
		{"a command behind the name", "host", "web;touch pwned"},
		{"a second line with an option", "host", "web\nProxyCommand touch pwned"},
		{"a command as the user", "host", "$(id)@web"},
		{"a URL", "host", "ssh://web"},
		{"an option in the way", "proxy-jump", "bastion,-oProxyCommand=x"},
		{"a user with a line break", "username", "ubuntu\nroot ALL=(ALL) NOPASSWD: ALL"},
		{"a sudoers alias", "username", "ALL"},
		{"a systemd specifier", "username", "%i"},
		{"a command behind the port", "port", "22;id"},
		{"out of the folder", "path", "/srv/../etc"},
		{"a system folder", "path", "/etc/cron.d/x"},
		{"another's keys", "path", "/home/ubuntu/.ssh/x"},
		{"a command", "path", "/srv/$(touch pwned)"},
		{"a systemd specifier", "path", "/srv/%h"},
		{"a backslash for systemd", "path", `/srv/a\x20b`},
		{"a further line of the unit", "path", "/srv/x\nExecStartPre=/bin/touch /pwned"},
		{"a path", "app", "../../etc/cron.d/x"},
		{"an instance", "app", "x@y"},
		{"a unit of the system's", "app", "systemd-logind"},
		{"an option for git", "ref", "--upload-pack=touch pwned"},
		{"a refspec that overwrites", "ref", "+refs/heads/x:refs/heads/main"},
		{"a range", "ref", "a..b"},
		{"a look into the reflog", "ref", "main@{1}"},
		{"another server", "repository", "https://evil.example/o/r"},
		{"a path up", "repository", "acme/.."},
		{"an option", "repository", "--upload-pack=x/y"},
		{"a second header", "token", "ghs_x\r\nX-Evil: 1"},
		{"a credential of git's protocol", "token", "ghs_x\nhost=evil.example"},
		{"a further directive", "server-name", "_; return 302 http://evil.example"},
		{"a server block", "server-name", "x; } server { listen 81"},
		{"a variable of nginx", "server-name", "$host"},
		{"a file that nginx would load by itself", "nginx-include", "/etc/nginx/conf.d/x.conf"},
		{"a further directive", "nginx-include", "/etc/nginx/x;load_module y.inc"},
		{"out of its folder", "nginx-include", "/etc/nginx/../cron.d/x.inc"},
		{"a second request", "health-path", "/health HTTP/1.1\r\nHost: evil"},
		{"an option for curl", "health-path", "-o/etc/passwd"},
		{"a second header", "health-host", "localhost\r\nX-Evil: 1"},
		{"an option for apt", "packages", "-oAPT::Update::Pre-Invoke::=id"},
		{"a command", "packages", "unzip;id"},
		{"a removal, to apt", "packages", "nginx-"},
		{"an installation, to apt", "packages", "unzip+"},
		{"a removal of what ends so", "packages", "g++-"},
		{"another version", "packages", "nginx=1.0"},
		{"another release", "packages", "nginx/sid"},
		{"all that are called so", "packages", "lib*"},
		{"a search of apt's", "packages", "~nnginx"},
		{"a task", "packages", "lamp-server^"},
		{"any character at the end", "packages", "nginx."},
		{"out of the release", "shared", "../../.ssh"},
		{"the whole disk", "shared", "/"},
		{"what the action keeps there", "shared", ".deploy-action/start"},
		{"out of the release", "assets", "s3://b/k -> ../../.ssh/authorized_keys"},
		{"what the action keeps there", "assets", "s3://b/k -> .deploy-action/start"},
		{"a second option for curl", "assets", "s3://b/k -> x\"\noutput = /etc/passwd"},
		{"a local file", "s3-endpoint", "file:///etc/passwd"},
		{"a password in the URL", "s3-endpoint", "https://user:pw@s3.example"},
		{"a command as the name", "env", "A;touch pwned=1"},
		{"a command in the name", "env", "A[$(touch pwned)]=1"},
		{"the search path", "env", "PATH=/tmp"},
		{"a value that never ends", "env", "A<<END\nx"},
		{"NUL", "env", "A=x\x00y"},
		{"NUL", "start", "serve\x00; id"},
		{"an escape sequence", "build", "make \x1b]0;x\a"},
		{"a privileged port", "ports", "80,81"},
		{"a command", "ports", "8080;id,8081"},
		{"a release elsewhere", "release", "../../../etc"},
		{"for ever, to systemd", "stop-timeout", "0s"},
		{"the top of the runner", "workspace-path", "../.."},
		{"an absolute folder", "workspace-path", "/proc/self"},
		{"a pattern that leaves", "exclude", "../../secrets"},
		{"an MD5 fingerprint", "fingerprint", "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"},
		{
			"an unknown marker", "known-hosts",
			"@trust-me web ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ",
		},
		{"a public key", "key", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"},
		{"129 KiB", "start", string(make([]byte, 129<<10))},
	} {
		table.Try(t, "input "+tt.input, tt.name, func(t *testing.T) string {
			with := map[string]string{tt.input: tt.value}
			if tt.input == "release" {
				with["operation"] = "rollback"
			}
			if tt.input == "workspace-path" || tt.input == "exclude" {
				with["source"] = "workspace"
			}
			_, err := parse(t, with)
			if err == nil {
				t.Fatal("accepted")
			}
			return "refused: " + err.Error()
		})
	}
	table.Try(t, "environment", "PORT, HOST, KEY, SSH_HOST in the job's environment", func(t *testing.T) string {
		in, err := parse(t, nil, "HOST", "evil", "SSH_HOST", "evil", "PORT", "1", "KEY", "x", "PATH_", "/",
			"input_host", "evil", "START", "id")
		if err != nil || in.Hosts[0].Name != "web.example.com" || in.Hosts[0].Port != 22 {
			t.Fatalf("%v, %v", in, err)
		}
		return "not read: only INPUT_… are inputs"
	})
	table.Try(t, "environment", "GITHUB_SERVER_URL is a file", func(t *testing.T) string {
		_, err := parse(t, nil, "GITHUB_SERVER_URL", "file:///etc")
		if err == nil {
			t.Fatal("accepted")
		}
		return "refused: " + err.Error()
	})
	table.Try(t, "environment", "an actor with a line break, for the host's history", func(t *testing.T) string {
		in, err := parse(t, nil, "GITHUB_ACTOR", "ada\n{\"outcome\":\"deployed\"}\x1b[2J")
		if err != nil || in.Run.Actor != `ada{"outcome":"deployed"}[2J` {
			t.Fatalf("%q, %v", in.Run.Actor, err)
		}
		return "taken out: " + in.Run.Actor
	})
}
