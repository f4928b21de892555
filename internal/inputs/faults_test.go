package inputs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/clothesme/deploy-action/remote"
)

// TestFaults has a row for every rule: the value of one input, and what is said about it.
func TestFaults(t *testing.T) {
	key, _ := newKey(t, "")
	long := strings.Repeat("x", 200)
	tests := []struct{ input, value, want string }{
		{
			"host", "",
			`is required, or the input "instances": write the address of the host, such as "203.0.113.7" or ` +
				`"ubuntu@web.example.com:22" (a variable or secret that does not exist is empty)`,
		},
		{"instances", "asg=a asg=b", `must not name two groups or two instances in a line: all terms of a line must hold ` +
			`of an instance, and lines add up (got "asg=a asg=b")`},
		{"instances", "i-12345678 i-87654321", `must not name two groups or two instances in a line: all terms of a line ` +
			`must hold of an instance, and lines add up (got "i-12345678 i-87654321")`},
		{"instances", "asg=a\nasg=a", `must not have a line twice (got "asg=a")`},
		{"instances", "tag:Role=web*", `must have a tag's value as it is, without *, ? and \ (got "tag:Role=web*")`},
		{"instances", `tag:Name="web`, `must have a second double quote where it has one (got "tag:Name=\"web")`},
		{"instances", "web-1", `must be lines of asg=NAME, tag:KEY=VALUE and i-…, separated by blanks; a value with blanks ` +
			`is put in double quotes, such as tag:Name="web server" (got "web-1")`},
		{"instances", "i-123", `must be lines of asg=NAME, tag:KEY=VALUE and i-…, separated by blanks; a value with blanks ` +
			`is put in double quotes, such as tag:Name="web server" (got "i-123")`},
		{"address", "elastic", `must be one of "auto", "public", "private", "ipv6" (got "elastic")`},
		{"expect-hosts", "0", `must be a number of hosts, such as "3", at least so many, such as "2-", or from and to, ` +
			`such as "2-6", from 1 to 10000 (got "0")`},
		{"expect-hosts", "6-2", `must be a number of hosts, such as "3", at least so many, such as "2-", or from and ` +
			`to, such as "2-6", from 1 to 10000 (got "6-2")`},
		{"expect-hosts", "2-", `must be true of the hosts that there are, and there is 1 (got "2-"): correct it, or what ` +
			`names the hosts, or see on AWS why there are not as many as there should be`},
		{"host", ",", `must be [user@]host[:port], or several of these (got ",")`},
		{"host", "a.example.com, b.example.com,ubuntu@a.example.com:22", `names ubuntu@a.example.com twice: a host is ` +
			`deployed to once (got "a.example.com, b.example.com,ubuntu@a.example.com:22")`},
		{"before-start-on", "last", `must be "first" or "all" (got "last")`},
		{"after-switch-on", "none", `must be "first" or "all" (got "none")`},
		{"host", "i-12345678,admin@i-12345678", `names admin@i-12345678 twice: a host is deployed to once ` +
			`(got "i-12345678,admin@i-12345678")`},
		{"host", "i-0123456789abcdef", `must have an instance's id as AWS writes it: i- and 17 of 0-9 and a-f, or 8 for an ` +
			`old one (got "i-0123456789abcdef")`},
		{"host", "ssh://web", `must be [user@]host[:port], without a scheme such as ssh:// (got "ssh://web")`},
		{
			"host", "Admin@web",
			`must have a login name before the @, of at most 32 of a-z, 0-9, . _ and - (got "Admin@web")`,
		},
		{"host", "@web", `must have a login name before the @, of at most 32 of a-z, 0-9, . _ and - (got "@web")`},
		{"host", "2001:db8::1", `must have the IPv6 address in brackets, such as [2001:db8::1] (got "2001:db8::1")`},
		{"host", "[web]", `must have an IPv6 address in the brackets, such as [2001:db8::1] (got "[web]")`},
		{"host", "[::1", `must have an IPv6 address in the brackets, such as [2001:db8::1] (got "[::1")`},
		{
			"host", "[fe80::1%eth0]",
			`must have an IPv6 address in the brackets, such as [2001:db8::1] (got "[fe80::1%eth0]")`,
		},
		{"host", "[::1]x22", `must be [user@]host[:port] with a port from 1 to 65535 (got "[::1]x22")`},
		{"host", "[::1]22", `must be [user@]host[:port] with a port from 1 to 65535 (got "[::1]22")`},
		{"host", "web:0", `must be [user@]host[:port] with a port from 1 to 65535 (got "web:0")`},
		{"host", "web:", `must be [user@]host[:port] with a port from 1 to 65535 (got "web:")`},
		{"host", "web server", `must be [user@]host[:port], the host a DNS name or an IP address (got "web server")`},
		{
			"host", "-oProxyCommand=x",
			`must be [user@]host[:port], the host a DNS name or an IP address (got "-oProxyCommand=x")`,
		},
		{"host", "10.0.0.256", `must be [user@]host[:port], the host a DNS name or an IP address (got "10.0.0.256")`},
		{"host", "10.1", `must be [user@]host[:port], the host a DNS name or an IP address (got "10.1")`},
		{
			"host", "web..example",
			`must be [user@]host[:port], the host a DNS name or an IP address (got "web..example")`,
		},
		{
			"host", strings.Repeat("a.", 130) + "b",
			`must be [user@]host[:port], the host a DNS name or an IP address (got 261 characters)`,
		},
		{"host", "web\x00", "must not contain control characters (got \"web\\x00\")"},
		{
			"host", "-----BEGIN OPENSSH PRIVATE KEY-----",
			`must be [user@]host[:port], the host a DNS name or an IP address (got a private key)`,
		},
		{
			"username", "Ubuntu",
			`must be a login name of at most 32 of a-z, 0-9, . _ and -, not beginning with a digit or - (got "Ubuntu")`,
		},
		{
			"username", "-root",
			`must be a login name of at most 32 of a-z, 0-9, . _ and -, not beginning with a digit or - (got "-root")`,
		},
		{"username", "a\nb", `must be one line (got "a\nb")`},
		{"username", "a\x1bb", `must not contain control characters (got "a\x1bb")`},
		{"username", "a\xff", `must be UTF-8 text (got "a\xff")`},
		{"port", "ssh", `must be a port from 1 to 65535 (got "ssh")`},
		{"port", "0", `must be a port from 1 to 65535 (got "0")`},
		{"port", "65536", `must be a port from 1 to 65535 (got "65536")`},
		{
			"host-keys", "dns",
			`must be known-hosts, which comes first, console, or a parameter with the instance's id in its name such as ` +
				`"ssm:/host-keys/{instance-id}" (got "dns")`,
		},
		{
			"host-keys", "known-hosts, console",
			`must be "known-hosts" where no host is an instance: AWS knows the keys of those alone that the input "instances" ` +
				`finds, or that "host" names by their ids (got "known-hosts, console")`,
		},
		{"access", "password", `must be "key" or "instance-connect" (got "password")`},
		{
			"access", "instance-connect",
			`must be "key" where the input "host" has names or addresses: AWS lets keys in on instances by their ids, ` +
				`so write these there, such as "i-0123456789abcdef0" (got "instance-connect")
input "key": is not for access "instance-connect", by which a key is made for each login: leave one of the two out`,
		},
		{
			"key", "",
			"is required: pass the private key, such as ${{ secrets.DEPLOY_KEY }} (a secret that does not exist, or " +
				"that a workflow from a fork may not see, is empty)",
		},
		{"key", "~/.ssh/id_ed25519", "not a private key: it looks like the path of a file; give the file's content"},
		{"key", "-----BEGIN\x00", "must not contain control characters"},
		{"key", "\xff\xfe-", "must be UTF-8 text"},
		{"passphrase", "one\ntwo", "must be one line"},
		{"passphrase", "one\x1btwo", "must not contain control characters"},
		{
			"certificate", "ssh-ed25519 AAAA",
			`not an OpenSSH user certificate: it is one line such as "ssh-ed25519-cert-v01@openssh.com AAAA…", ` +
				`the content of the file that ends in -cert.pub`,
		},
		{"proxy-jump", "ops@bastion:0", `must be [user@]host[:port] with a port from 1 to 65535 (got "ops@bastion:0")`},
		{
			"proxy-jump", "bastion, -oProxyCommand=x",
			`must be [user@]host[:port], the host a DNS name or an IP address (got "bastion, -oProxyCommand=x")`,
		},
		{"proxy-jump-key", "x", `is for hosts on the way only: leave it out, or name them with the input "proxy-jump"`},
		{"proxy-jump-passphrase", "x", `is for the input "proxy-jump-key" only: leave it out, or give that key`},
		{
			"proxy-jump-fingerprint", "SHA256:abc",
			`is for hosts on the way only: leave it out, or name them with the input "proxy-jump"`,
		},
		{"known-hosts", "web ssh-ed25519", `known_hosts line 1: want "name type key" as ssh-keyscan prints it`},
		{
			"known-hosts", "x\ny",
			`known_hosts line 1: want "name type key" as ssh-keyscan prints it; ` +
				`known_hosts line 2: want "name type key" as ssh-keyscan prints it`,
		},
		{"fingerprint", "SHA256:abc", `fingerprint 1: want SHA256: and 43 characters of base64`},
		{"insecure-skip-host-key-check", "yes", `must be "true" or "false" (got "yes")`},
		{"connect-timeout", "30", `must have a unit: write "30s" (got "30")`},
		{"connect-timeout", "0", `must have a unit: write "0s" (got "0")`},
		{"connect-timeout", "soon", `must be a duration such as "30s" or "5m" (got "soon")`},
		{"connect-timeout", "999ms", `must be from 1s to 10m (got "999ms")`},
		{"connect-timeout", "11m", `must be from 1s to 10m (got "11m")`},
		{"timeout", "0s", `must be from 1s to 24h (got "0s")`},
		{"timeout", "25h", `must be from 1s to 24h (got "25h")`},
		{"lock-timeout", "-1s", `must be from 0s to 24h (got "-1s")`},
		{"operation", "destroy", `must be one of "deploy", "restart", "rollback", "setup", "status", "check", "logs", ` +
			`"run", "maintenance", "remove" (got "destroy")`},
		{"confirm", "shop", `is for operation "remove" only: leave it out, or set that operation`},
		{"remove-shared", "yes", `must be "true" or "false" (got "yes")`},
		{"command", "ls", `is for operation "run" only: leave it out, or set that operation`},
		{"run-at-once", "yes", `must be "true" or "false" (got "yes")`},
		{"log-filter", "a\nb", `must be one line (got "a\nb")`},
		{
			"log-of", "app, syslog",
			`must be "app", "nginx", "worker:" or "job:" with a name, or several of them (got "app, syslog")`,
		},
		{
			"log-of", "worker:A",
			`must be "app", "nginx", "worker:" or "job:" with a name, or several of them (got "worker:A")`,
		},
		{"log-of", "job:", `must be "app", "nginx", "worker:" or "job:" with a name, or several of them (got "job:")`},
		{
			"log-of", "job:../8080",
			`must be "app", "nginx", "worker:" or "job:" with a name, or several of them (got "job:../8080")`,
		},
		{"log-lines", "5001", `must be a whole number from 1 to 5000 (got "5001")`},
		{
			"log-since", "yesterday", `must be a duration such as "15m" or "24h", ` +
				`or a time such as "2026-11-23T10:15:00Z" (got "yesterday")`,
		},
		{
			"log-since", "-5m", `must be a duration such as "15m" or "24h", ` +
				`or a time such as "2026-11-23T10:15:00Z" (got "-5m")`,
		},
		{
			"release", "v1",
			`must be the id of a release, such as "20261123T101500Z-1a2b3c4"; operation "status" lists them (got "v1")`,
		},
		{
			"release", "20261123T101500Z-1a2b3c4",
			`is for operation "rollback" only: leave it out, or set that operation`,
		},
		{"allow-older", "1", `must be "true" or "false" (got "1")`},
		{"allow-down", "yes", `must be "true" or "false" (got "yes")`},
		{"dry-run", "yes", `must be "true" or "false" (got "yes")`},
		{"setup", "sometimes", `must be "auto", "always" or "never" (got "sometimes")`},
		{"processes", "web: x", "line 1: web is what the input start runs; leave it out here"},
		{
			"schedule", "a: 0 3 * * 8 x", "line 1: the day of the week must be *, a number from 0 to 7 or a name such as " +
				`mon, a range such as 1-5, a step such as */2, or a list of these with commas (got "8")`,
		},
		{"workers-overlap", "yes", `must be "true" or "false" (got "yes")`},
		{"strategy", "canary", `must be "blue-green" or "in-place" (got "canary")`},
		{"packages", "libgl1 -y", `must be names of Debian packages, such as "libgl1 unzip" (got "libgl1 -y")`},
		{"swap", "2", `must be a size such as "2G" or "512M" (got "2")`},
		{"swap", "2048MiB", `must be a size such as "2G" or "512M" (got "2048MiB")`},
		{"swap", "63M", `must be from 64M to 64G (got "63M")`},
		{"swap", "65G", `must be from 64M to 64G (got "65G")`},
		{"app", "3d", `must begin with a letter and have at most 32 of a-z, 0-9 and - (got "3d")`},
		{"app", "my_app", `must begin with a letter and have at most 32 of a-z, 0-9 and - (got "my_app")`},
		{
			"app", strings.Repeat("a", 33),
			`must begin with a letter and have at most 32 of a-z, 0-9 and - (got "` + strings.Repeat("a", 33) + `")`,
		},
		{"app", "User", `must not be "user", which belongs to the system (got "User")`},
		{"app", "systemd-x", `must not be "systemd-x", which belongs to the system (got "systemd-x")`},
		{"path", "~/app", `must be written out: a host does not expand ~ here (got "~/app")`},
		{"path", "app", `must start with "/" (got "app")`},
		{"path", "/srv/my app", `must have only A-Z, a-z, 0-9 and . _ / - in it (got "/srv/my app")`},
		{"path", "/srv/$HOME", `must have only A-Z, a-z, 0-9 and . _ / - in it (got "/srv/$HOME")`},
		{"path", "/srv/../etc", `must not contain ".." (got "/srv/../etc")`},
		{"path", "/srv/" + long, `must not be longer than 200 characters (got 205 characters)`},
		{"path", "/etc", `must not be in a system folder: choose one such as "/srv/app" (got "/etc")`},
		{
			"path", "//usr/./local/app/",
			`must not be in a system folder: choose one such as "/srv/app" (got "//usr/./local/app/")`,
		},
		{"path", "/tmp/app", `must not be in a system folder: choose one such as "/srv/app" (got "/tmp/app")`},
		{"path", "/", `must be a folder of its own: choose one below it (got "/")`},
		{"path", "/srv/", `must be a folder of its own: choose one below it (got "/srv/")`},
		{"path", "/home/ubuntu", `must be a folder of its own: choose one below it (got "/home/ubuntu")`},
		{"path", "/home/ubuntu/.ssh/app", `must not be in .ssh (got "/home/ubuntu/.ssh/app")`},
		{"source", "ftp", `must be "git" or "workspace" (got "ftp")`},
		{
			"source", "workspace",
			`must be "git" outside of a workflow: GITHUB_WORKSPACE, the checkout to send, is not set`,
		},
		{"workspace-path", "/srv", `must be a folder inside the workspace, such as "dist" (got "/srv")`},
		{"workspace-path", "dist/../..", `must be a folder inside the workspace, such as "dist" (got "dist/../..")`},
		{"workspace-path", "a\nb", `must be one line (got "a\nb")`},
		{
			"exclude", "!keep",
			`must not begin a pattern with "!": what is left out can't be taken in again (got "!keep")`,
		},
		{"exclude", "a[", `must be patterns such as "*.log", "/docs" or "cache/", by comma or line (got "a[")`},
		{"exclude", "../x", `must be patterns such as "*.log", "/docs" or "cache/", by comma or line (got "../x")`},
		{
			"repository", "https://github.com/o/r",
			`must be "owner/name", without a server and without .git (got "https://github.com/o/r")`,
		},
		{"repository", "o/r.git", `must be "owner/name", without a server and without .git (got "o/r.git")`},
		{"repository", "o/..", `must be "owner/name", without a server and without .git (got "o/..")`},
		{
			"repository", "github.com/o/r",
			`must be "owner/name", without a server and without .git (got "github.com/o/r")`,
		},
		{"repository", "-o/r", `must be "owner/name", without a server and without .git (got "-o/r")`},
		{"ref", "--upload-pack=x", `must be a commit id or the name of a branch or tag (got "--upload-pack=x")`},
		{"ref", "a b", `must be a commit id or the name of a branch or tag (got "a b")`},
		{"ref", "a..b", `must be a commit id or the name of a branch or tag (got "a..b")`},
		{"ref", "a@{1}", `must be a commit id or the name of a branch or tag (got "a@{1}")`},
		{"ref", "HEAD^", `must be a commit id or the name of a branch or tag (got "HEAD^")`},
		{"ref", "+a:b", `must be a commit id or the name of a branch or tag (got "+a:b")`},
		{"ref", "@", `must be a commit id or the name of a branch or tag (got "@")`},
		{"ref", "a/", `must be a commit id or the name of a branch or tag (got "a/")`},
		{"ref", "a//b", `must be a commit id or the name of a branch or tag (got "a//b")`},
		{"ref", "a/.b", `must be a commit id or the name of a branch or tag (got "a/.b")`},
		{"ref", "a.lock/b", `must be a commit id or the name of a branch or tag (got "a.lock/b")`},
		{"ref", "a.", `must be a commit id or the name of a branch or tag (got "a.")`},
		{"ref", strings.Repeat("a", 256), `must be a commit id or the name of a branch or tag (got 256 characters)`},
		{"token", "two words", "must be a token without blanks, such as ${{ github.token }}"},
		{"token", "two\nlines", "must be one line"},
		{"build", "a\x00b", `must not contain control characters (got "a\x00b")`},
		{"start", "a\x1b", `must not contain control characters (got "a\x1b")`},
		{"start", strings.Repeat("x", maxValue+1), "must not be longer than 128 KiB (got 131073 bytes)"},
		{"before-start", "a\x00", `must not contain control characters (got "a\x00")`},
		{"after-switch", "a\x00", `must not contain control characters (got "a\x00")`},
		{"env", "NAME", "line 1: must be KEY=VALUE, or KEY<<END for a value of several lines"},
		{
			"env", "A=1\n\n2B=2",
			"line 3: the name must have only letters, digits and _ in it, and not begin with a digit",
		},
		{
			"env", "UID=1000", "line 1: UID is bash's own, which starts the application and would not give it on; choose " +
				"another name",
		},
		{"env", "PORT=80", "line 1: PORT is set by the action; choose another name"},
		{"env", "A=1\nA=2", "line 2: A is there twice"},
		{"env", "A<<END\n1\n2", `line 1: the value of "A" never ends: end it with a line that is just what follows <<`},
		{"env", "A=\x1b", "must not contain control characters"},
		{"shared", "up loads", `must have only A-Z, a-z, 0-9 and . _ / - in it (got "up loads")`},
		{"shared", "../data", `must be a path within the release, such as "uploads" (got "../data")`},
		{"shared", "/data", `must be a path within the release, such as "uploads" (got "/data")`},
		{"shared", ".venv/bin", `must not be ".venv", which the action makes itself`},
		{"shared", "data, data/x", `must not name a path twice, or one within another (got "data, data/x")`},
		{
			"assets", "models/x -> a",
			"must have lines such as \"s3://bucket/key -> path/in/the/release [sha256=<64 hexadecimal digits>]\" " +
				"(got \"models/x -> a\")",
		},
		{
			"assets", "s3://models/x a",
			"must have lines such as \"s3://bucket/key -> path/in/the/release [sha256=<64 hexadecimal digits>]\" " +
				"(got \"s3://models/x a\")",
		},
		{
			"assets", "s3://models/x -> ",
			"must have lines such as \"s3://bucket/key -> path/in/the/release [sha256=<64 hexadecimal digits>]\" " +
				"(got \"s3://models/x ->\")",
		},
		{
			"assets", "s3://models/x -> a b c",
			"must have lines such as \"s3://bucket/key -> path/in/the/release [sha256=<64 hexadecimal digits>]\" " +
				"(got \"s3://models/x -> a b c\")",
		},
		{"assets", "s3://m/x -> a", "must have the name of a bucket after s3:// (got \"s3://m/x -> a\")"},
		{"assets", "s3://models/ -> a", "must have the key of one object after the bucket (got \"s3://models/ -> a\")"},
		{
			"assets", "s3://models/v1/ -> a",
			"must have the key of one object after the bucket (got \"s3://models/v1/ -> a\")",
		},
		{
			"assets", "s3://models/x -> a sha256=12",
			"must have nothing but sha256= and 64 hexadecimal digits after the path (got \"s3://models/x -> a " +
				"sha256=12\")",
		},
		{
			"assets", "s3://models/x -> a md5=12",
			"must have nothing but sha256= and 64 hexadecimal digits after the path (got \"s3://models/x -> a md5=12\")",
		},
		{
			"assets", "s3://models/x -> /etc/a",
			"must have a path within the release, without \"..\" and not beginning with \"/\" (got \"s3://models/x " +
				"-> /etc/a\")",
		},
		{
			"assets", "s3://models/x -> a/../../b",
			"must have a path within the release, without \"..\" and not beginning with \"/\" (got \"s3://models/x " +
				"-> a/../../b\")",
		},
		{
			"assets", "s3://models/x -> a$b",
			"must have a path of at most 200 of A-Z, a-z, 0-9 and . _ / - (got \"s3://models/x -> a$b\")",
		},
		{
			"assets", "s3://models/x -> a/",
			"must name the file in the release, not only its folder (got \"s3://models/x -> a/\")",
		},
		{
			"assets", "s3://models/x -> .",
			"must name the file in the release, not only its folder (got \"s3://models/x -> .\")",
		},
		{
			"assets", "s3://models/x -> ./.venv/a",
			"must not have a path in .venv, which belongs to the action (got \"s3://models/x -> ./.venv/a\")",
		},
		{
			"assets", "s3://models/x -> a\ns3://models/y -> a/b",
			"must have paths that do not collide: a is taken by s3://models/x (got \"s3://models/y -> a/b\")",
		},
		{"aws-region", "EU Central", `must be the name of a region, such as "eu-central-1" (got "EU Central")`},
		{
			"s3-endpoint", "minio:9000",
			`must be the URL of a server, such as "https://minio.example.com:9000" (got "minio:9000")`,
		},
		{
			"s3-endpoint", "https://u:p@minio",
			`must be the URL of a server, such as "https://minio.example.com:9000" (got "https://u:p@minio")`,
		},
		{
			"s3-endpoint", "https://minio/path",
			`must be the URL of a server, such as "https://minio.example.com:9000" (got "https://minio/path")`,
		},
		{
			"s3-endpoint", "ftp://minio",
			`must be the URL of a server, such as "https://minio.example.com:9000" (got "ftp://minio")`,
		},
		{"ports", "8080", `must be two ports, such as "8080,8081" (got "8080")`},
		{"ports", "8080,8081,8082", `must be two ports, such as "8080,8081" (got "8080,8081,8082")`},
		{"ports", "8080,x", `must be two ports from 1024 to 65535 (got "8080,x")`},
		{"ports", "80,8080", `must be two ports from 1024 to 65535 (got "80,8080")`},
		{"ports", "8080,65536", `must be two ports from 1024 to 65535 (got "8080,65536")`},
		{"ports", "8080,8080", `must be two different ports (got "8080,8080")`},
		{"health-path", "healthz", `must start with "/" (got "healthz")`},
		{
			"health-path", "/a b",
			`must be the path of a URL, with blanks, quotes and the like written as %20 (got "/a b")`,
		},
		{
			"health-path", `/a"b`,
			`must be the path of a URL, with blanks, quotes and the like written as %20 (got "/a\"b")`,
		},
		{"health-path", "/ä", `must be the path of a URL, with blanks, quotes and the like written as %20 (got "/ä")`},
		{"health-path", "/a\nb", `must be one line (got "/a\nb")`},
		{"health-status", "OK", `must be a whole number from 200 to 599 (got "OK")`},
		{"health-status", "100", `must be a whole number from 200 to 599 (got "100")`},
		{"health-status", "600", `must be a whole number from 200 to 599 (got "600")`},
		{"health-body", "a\nb", `must be one line (got "a\nb")`},
		{"health-timeout", "0s", `must be from 1s to 1h (got "0s")`},
		{"health-host", "a b", `must be host or host:port, as a Host header has it (got "a b")`},
		{"health-host", "http://a", `must be host or host:port, as a Host header has it (got "http://a")`},
		{"health-host", "a:x", `must be host or host:port, as a Host header has it (got "a:x")`},
		{"health-host", "[::1]8", `must be host or host:port, as a Host header has it (got "[::1]8")`},
		{"watch-for", "61m", `must be from 0s to 1h (got "61m")`},
		{"drain-timeout", "-5s", `must be from 0s to 1h (got "-5s")`},
		{"stop-timeout", "0s", `must be from 1s to 10m (got "0s")`},
		{
			"server-name", "a;b",
			`must be DNS names separated by blanks, such as "example.com www.example.com", or _ for any (got "a;b")`,
		},
		{
			"server-name", "a,b",
			`must be DNS names separated by blanks, such as "example.com www.example.com", or _ for any (got "a,b")`,
		},
		{
			"server-name", "~^x$",
			`must be DNS names separated by blanks, such as "example.com www.example.com", or _ for any (got "~^x$")`,
		},
		{
			"server-name", "*x.com",
			`must be DNS names separated by blanks, such as "example.com www.example.com", or _ for any (got "*x.com")`,
		},
		{
			"server-name", "*",
			`must be DNS names separated by blanks, such as "example.com www.example.com", or _ for any (got "*")`,
		},
		{"nginx-include", "service-url.inc", `must start with "/" (got "service-url.inc")`},
		{
			"nginx-include", "/etc/nginx/a;b.inc",
			`must have only A-Z, a-z, 0-9 and . _ / - in it (got "/etc/nginx/a;b.inc")`,
		},
		{
			"nginx-include", "/etc/nginx/conf.d/x.conf",
			`must end in ".inc": nginx loads a .conf on its own, in the wrong place (got "/etc/nginx/conf.d/x.conf")`,
		},
		{
			"trusted-proxies", "10.0.0.0/16; x",
			`must be networks by comma or line, such as "10.0.0.0/16" or "2001:db8::/56" (got "10.0.0.0/16; x")`,
		},
		{
			"trusted-proxies", "cloudflare",
			`must be networks by comma or line, such as "10.0.0.0/16" or "2001:db8::/56" (got "cloudflare")`,
		},
		{
			"trusted-proxies", "::ffff:10.0.0.0/112",
			`must be networks by comma or line, such as "10.0.0.0/16" or "2001:db8::/56" (got "::ffff:10.0.0.0/112")`,
		},
		{
			"trusted-proxies", "fe80::1%eth0",
			`must be networks by comma or line, such as "10.0.0.0/16" or "2001:db8::/56" (got "fe80::1%eth0")`,
		},
		{
			"trusted-proxies", "10.0.3.7/16",
			`must be networks, and "10.0.3.7/16" is an address in one: write "10.0.0.0/16"`,
		},
		{
			"trusted-proxies", "10.0.0.0/16,0.0.0.0/0",
			`must not be every network, or any visitor could say that he is another (got "10.0.0.0/16,0.0.0.0/0")`,
		},
		{
			"trusted-proxies", "::/0",
			`must not be every network, or any visitor could say that he is another (got "::/0")`,
		},
		{
			"security-group", "web",
			`must be the id of a security group of the hosts, such as "sg-0123456789abcdef0" (got "web")`,
		},
		{
			"target-group", "web, a/b",
			`must be the names or ARNs of target groups, such as "web" (got "web, a/b")`,
		},
		{"target-timeout", "0s", `must be from 1s to 1h (got "0s")`},
		{"launch-image", "yes", `must be "true", "false" or "with-shared" (got "yes")`},
		{
			"launch-image", "true",
			`is for Auto Scaling groups: name one in the input "instances", such as "asg=web", or leave this out`,
		},
		{
			"keep-images", "1",
			`must be a whole number from 2 to 100, the one that is launched and the one before it included (got "1")`,
		},
		{
			"connect-endpoint", "eice-1",
			`must be "auto", or the id of an Instance Connect Endpoint, such as "eice-0123456789abcdef0" (got "eice-1")`,
		},
		{
			"connect-endpoint", "auto",
			`leads to instances, and the input "host" has names or addresses: write their ids there, ` +
				`such as "i-0123456789abcdef0"`,
		},
		{
			"runner-cidr", "203.0.113.7",
			`is for the input "security-group" only: leave it out, or name that group`,
		},
		{
			"role-to-assume", "deploy",
			`must be the ARN of a role, such as "arn:aws:iam::123456789012:role/deploy" (got "deploy")`,
		},
		{"env-from", "ssm:/shop", `must name a path of parameters between slashes, such as "ssm:/shop/" (got "ssm:/shop")`},
		{"env-from", "ssm:shop/", `must name a path of parameters between slashes, such as "ssm:/shop/" (got "ssm:shop/")`},
		{"env-from", "secretsmanager:", `must name a secret, such as "secretsmanager:shop/env" (got "secretsmanager:")`},
		{
			"env-from", "vault:x",
			`must be lines such as "ssm:/shop/" or "secretsmanager:shop/env" (got "vault:x")`,
		},
		{"env-from", "ssm:/a/,ssm:/a/", `must not name a place twice (got "ssm:/a/,ssm:/a/")`},
		{
			"maintenance", "on",
			`is for operation "maintenance" only: leave it out, or set that operation; what it has put up stays there ` +
				`through deployments`,
		},
		{
			"maintenance-page", "../sorry.html",
			`must be a file of the release, such as "public/maintenance.html", with only A-Z, a-z, 0-9 and . _ / - in it ` +
				`(got "../sorry.html")`,
		},
		{
			"maintenance-page", ".deploy-action/environment",
			`must be a file of the release, such as "public/maintenance.html", with only A-Z, a-z, 0-9 and . _ / - in it ` +
				`(got ".deploy-action/environment")`,
		},
		{
			"maintenance-allow", "0.0.0.0/0",
			`must not be every network, or nobody would see the page (got "0.0.0.0/0")`,
		},
		{
			"https", "yes",
			`must be a mail address, by which the authority that gives the certificate can reach you, or "off" (got "yes")`,
		},
		{
			"https", "you@example.com", `needs whole names in the input server-name, such as "www.example.com", since a ` +
				`certificate is for names, and "_" is none: name them, or give a certificate of your own with ` +
				`tls-certificate and tls-key`,
		},
		{
			"acme-server", "http://acme.example/directory",
			`must be the URL of an ACME directory, with https:// (got "http://acme.example/directory")`,
		},
		{
			"tls-certificate", "MIIB", `must be a certificate as PEM, which begins with -----BEGIN CERTIFICATE-----, ` +
				`and those of its chain behind it`,
		},
		{"tls-key", "x", `is for a certificate of your own: give that as tls-certificate, or leave this out`},
		{
			"hsts", "a year",
			`must be seconds or a duration of at most ten years, such as "31536000" or "365d" (got "a year")`,
		},
		{
			"hsts", "11y",
			`must be seconds or a duration of at most ten years, such as "31536000" or "365d" (got "11y")`,
		},
		{"hsts", "365d", `is for a site with HTTPS: set https or tls-certificate, too, or leave it out`},
		{
			"max-body-size", "100 MB",
			`must be a size as nginx writes it, such as "100m", or 0 for any size (got "100 MB")`,
		},
		{"max-body-size", "1t", `must be a size as nginx writes it, such as "100m", or 0 for any size (got "1t")`},
		{"max-body-size", "-1", `must be a size as nginx writes it, such as "100m", or 0 for any size (got "-1")`},
		{
			"max-body-size", "9999999999",
			`must be a size as nginx writes it, such as "100m", or 0 for any size (got "9999999999")`,
		},
		{"response-timeout", "0s", `must be from 1s to 24h (got "0s")`},
		{"response-timeout", "300", `must have a unit: write "300s" (got "300")`},
		{
			"keep-releases", "1",
			`must be a whole number from 2 to 1000, the live release and the one before it included (got "1")`,
		},
		{
			"keep-releases", "many",
			`must be a whole number from 2 to 1000, the live release and the one before it included (got "many")`,
		},
	}
	tests = append(tests, []struct{ input, value, want string }{
		{
			"batch", "1, all",
			`must be a number of hosts such as "1", or a part of them such as "25%", from 1 (got "1, all")`,
		},
		{
			"skip-unreachable", "some",
			`must be a number of hosts such as "1", or a part of them such as "25%", from 0 (got "some")`,
		},
	}...)
	covered := map[string]bool{}
	for _, tt := range tests {
		covered[tt.input] = true
		t.Run(fmt.Sprintf("%s=%.20q", tt.input, tt.value), func(t *testing.T) {
			_, err := Parse(with(runner(key), map[string]string{tt.input: tt.value}))
			if err == nil {
				t.Fatal("no fault")
			}
			equal(t, err.Error(), fmt.Sprintf("input %q: %s", tt.input, tt.want))
			var fault *Fault
			if !errors.As(err, &fault) || fault.Input != tt.input {
				t.Errorf("no Fault of %q in %#v", tt.input, err)
			}
		})
	}
	for _, f := range fields() {
		if !covered[f.name] {
			t.Errorf("no row for input %q", f.name)
		}
	}
}

// TestCrossFaults is about inputs that go wrong together.
func TestCrossFaults(t *testing.T) {
	plain, public := newKey(t, "")
	locked, _ := newKey(t, "right")
	tests := []struct {
		name   string
		key    string
		env    map[string]string
		inputs map[string]string
		want   string
	}{
		{
			"a passphrase is missing", locked, nil, nil,
			`input "passphrase": is required: the private key is encrypted; pass its passphrase, ` +
				`such as ${{ secrets.SSH_PASSPHRASE }}`,
		},
		{
			"a passphrase is wrong", locked, nil,
			map[string]string{"passphrase": "wrong-one"},
			`input "passphrase": must be the one of the private key: it does not open it`,
		},
		{
			"a bastion's key needs its own passphrase", plain, nil,
			map[string]string{"proxy-jump": "bastion", "proxy-jump-key": locked, "passphrase": "right"},
			`input "proxy-jump-passphrase": is required: the private key is encrypted; pass its passphrase, ` +
				`such as ${{ secrets.SSH_PASSPHRASE }}`,
		},
		{
			"a bastion's fingerprint", plain, nil,
			map[string]string{"proxy-jump": "bastion", "proxy-jump-fingerprint": "MD5:x"},
			`input "proxy-jump-fingerprint": ` + fingerprintFault(t),
		},
		{
			"checks are skipped and the bastion's pinned", plain, nil,
			map[string]string{
				"insecure-skip-host-key-check": "true", "proxy-jump": "bastion",
				"proxy-jump-fingerprint": ssh.FingerprintSHA256(public),
			},
			`input "insecure-skip-host-key-check": must not be "true" when known-hosts, fingerprint or ` +
				`proxy-jump-fingerprint is given: remove this or those`,
		},
		{
			"checks are skipped and pinned", plain, nil,
			map[string]string{"insecure-skip-host-key-check": "true", "known-hosts": "web " + public.Type() + " AAAA"},
			`input "known-hosts": known_hosts line 1: want "name type key" as ssh-keyscan prints it
input "insecure-skip-host-key-check": must not be "true" when known-hosts, fingerprint or ` +
				`proxy-jump-fingerprint is given: remove this or those`,
		},
		{
			"SSH on a slot's port", plain, nil,
			map[string]string{"port": "8081"},
			`input "ports": must not include the port of SSH, 8081 (got "8080,8081")`,
		},
		{
			"a repository's name is no app's", plain,
			map[string]string{"GITHUB_REPOSITORY": "o/3d_viewer"},
			nil,
			`input "app": cannot be taken from the name of repository "o/3d_viewer": ` +
				`give one that must begin with a letter and have at most 32 of a-z, 0-9 and -`,
		},
		{
			"no workflow", plain,
			map[string]string{"GITHUB_REPOSITORY": "", "GITHUB_SHA": ""},
			nil,
			`input "repository": is required: write "owner/name" (GITHUB_REPOSITORY is not set either)
input "ref": is required: write a commit, branch or tag (GITHUB_SHA is not set either)`,
		},
		{
			"a server that is no URL", plain,
			map[string]string{"GITHUB_SERVER_URL": "https://user@github.com"},
			nil,
			`environment variable GITHUB_SERVER_URL: must be a URL such as "https://github.com" (got "https://user@github.com")`,
		},
		{
			"every faulty asset", plain, nil,
			map[string]string{"assets": "x\ns3://models/a -> a\ns3://models/b -> ../b"},
			`input "assets": must have lines such as "s3://bucket/key -> path/in/the/release ` +
				`[sha256=<64 hexadecimal digits>]" (got "x")
input "assets": must have a path within the release, without ".." and not beginning with "/" ` +
				`(got "s3://models/b -> ../b")`,
		},
		{
			"an asset in a shared folder", plain, nil,
			map[string]string{
				"shared": "uploads, ai_models", "assets": "s3://models/v7/model.h5 -> ai_models/type_model.h5",
			},
			`input "assets": must not have a path that the input "shared" names: take ai_models out of "shared", ` +
				`and name there the other files in it that must stay, if any; an asset belongs to its release, ` +
				`so that a rollback brings back the one before, and is downloaded only when it changes ` +
				`(got "s3://models/v7/model.h5 -> ai_models/type_model.h5")`,
		},
		{
			"an asset that is shared itself", plain, nil,
			map[string]string{"shared": "model.h5", "assets": "s3://models/model.h5 -> ./model.h5"},
			`input "assets": must not have a path that the input "shared" names: take model.h5 out of "shared", ` +
				`and name there the other files in it that must stay, if any; an asset belongs to its release, ` +
				`so that a rollback brings back the one before, and is downloaded only when it changes ` +
				`(got "s3://models/model.h5 -> ./model.h5")`,
		},
		{
			"an asset where a shared path needs a folder", plain, nil,
			map[string]string{"shared": "data/uploads", "assets": "s3://models/x -> data"},
			`input "assets": must not have a file at data, which the input "shared" needs as a folder for ` +
				`data/uploads: choose another path for one of them (got "s3://models/x -> data")`,
		},
		{
			"one fault has one line", plain, nil,
			map[string]string{"username": "Bad User"},
			`input "username": must be a login name of at most 32 of a-z, 0-9, . _ and -, ` +
				`not beginning with a digit or - (got "Bad User")`,
		},
		{
			"all at once, in the order of action.yml", "",
			map[string]string{"GITHUB_SERVER_URL": "file:///x"},
			map[string]string{
				"keep-releases": "0", "ports": "1", "health-path": "x", "username": "A", "port": "x", "host": "a b",
				"timeout": "5", "fingerprint": "MD5:x", "repository": "r",
			},
			`input "host": must be [user@]host[:port], the host a DNS name or an IP address (got "a b")
input "username": must be a login name of at most 32 of a-z, 0-9, . _ and -, not beginning with a digit or - (got "A")
input "port": must be a port from 1 to 65535 (got "x")
input "key": is required: pass the private key, such as ${{ secrets.DEPLOY_KEY }} ` +
				`(a secret that does not exist, or that a workflow from a fork may not see, is empty)
input "fingerprint": ` + fingerprintFault(t) + `
input "timeout": must have a unit: write "5s" (got "5")
input "repository": must be "owner/name", without a server and without .git (got "r")
input "ports": must be two ports, such as "8080,8081" (got "1")
input "health-path": must start with "/" (got "x")
input "keep-releases": must be a whole number from 2 to 1000, the live release and the one before it included (got "0")
environment variable GITHUB_SERVER_URL: must be a URL such as "https://github.com" (got "file:///x")`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := runner(tt.key)
			for name, value := range tt.env {
				env[name] = value
			}
			_, err := Parse(with(env, tt.inputs))
			if err == nil {
				t.Fatal("no fault")
			}
			equal(t, err.Error(), tt.want)
		})
	}
}

// fingerprintFault is what package remote says of a fingerprint that is none.
func fingerprintFault(t *testing.T) string {
	t.Helper()
	_, err := remote.NewHostKeys("", []string{"MD5:x"})
	return err.Error()
}

func TestFaultsWrapTheirCause(t *testing.T) {
	_, err := Parse(with(runner("ssh-ed25519 AAAA"), nil))
	if !errors.Is(err, remote.ErrKeyUnreadable) {
		t.Errorf("%v does not wrap ErrKeyUnreadable", err)
	}
}

func TestGot(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"short", `a"b`, `(got "a\"b")`},
		{"long", strings.Repeat("ü", 61), "(got 61 characters)"},
		{"a key", "x -----BEGIN RSA PRIVATE KEY----- y", "(got a private key)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { equal(t, got(tt.value), tt.want) })
	}
}

// The runner masks a secret, and each line of one, but no other part of it.
func TestNoPartOfASecretIsShown(t *testing.T) {
	const secret = "xq9://shop:Wq7zK horse, battery staple@zq8.intern:5432/Xshop?sslmode=require"
	key, _ := newKey(t, "")
	for _, f := range fields() {
		if f.shape.secret() {
			continue
		}
		env := runner(key)
		env["INPUT_"+strings.ToUpper(f.name)] = secret
		_, err := Parse(with(env, map[string]string{"insecure-skip-host-key-check": "true"}))
		if err == nil {
			continue // it is a command
		}
		text := strings.ReplaceAll(err.Error(), secret, "***")
		for size := 6; size <= 12; size++ {
			for from := range len(secret) - size {
				if part := secret[from : from+size]; strings.Contains(text, part) {
					t.Fatalf("input %s: %q is in %q", f.name, part, text)
				}
			}
		}
	}
	if got, want := gotItem("a b\nc d", "c d"), `(got "c d")`; got != want {
		t.Errorf("a line of its own: %s, want %s", got, want)
	}
	if got, want := gotItem("a b, c d", "c d"), `(got "a b, c d")`; got != want {
		t.Errorf("a part of a line: %s, want %s", got, want)
	}
}
