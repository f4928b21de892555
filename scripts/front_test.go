package scripts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nginxHost is a host of which nothing is known but the texts of its nginx, which are to be put in.
const nginxHost = `app=shop server_name=_ verify_host=localhost https=no ` +
	`nginx_include=/etc/nginx/conf.d/service-url.inc ports="8080 8081" path=/ ` +
	`SSH_CONNECTION='192.0.2.9 4711 10.0.0.5 22' nginx=(nginx) nginx_ignored=''
found() { true; }
nginx_texts() { cat "$texts"; }
gives_up() { [[ $1 == */welcome:* ]]; }
`

// judged runs what check.sh asks of nginx's texts, and returns what it found.
func judged(t *testing.T, otherwise, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "texts")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return bash(t, "EX_CHECK=64 app=shop\n"+read(t, "lib/base.sh")+read(t, "lib/root.sh")+read(t, "lib/nginx.sh")+
		read(t, "lib/answers.sh")+read(t, "lib/front.sh")+nginxHost+"texts="+file+"\n"+otherwise+`
faults=() notes=()
judge_nginx
printf 'fault: %s\n' "${faults[@]}"
printf 'note: %s\n' "${notes[@]}"
printf 'site: %s one socket: %s hostless: %s\n' "$site_folder" "$one_socket" "$hostless"`)
}

// mainConf is nginx.conf as Debian has it, in short, with files that it includes.
func mainConf(files ...string) string {
	text := "# configuration file /etc/nginx/nginx.conf:\nuser www-data;\nevents { worker_connections 768; }\nhttp " +
		"{\n\tinclude mime.types;\n\tinclude /etc/nginx/conf.d/*.conf;\n\tinclude /etc/nginx/sites-enabled/*;\n}\n"
	for i := 0; i < len(files); i += 2 {
		text += "\n# configuration file " + files[i] + ":\n" + files[i+1] + "\n"
	}
	return text
}

const managed = "# Written by deploy-action for shop.\nserver {\n    listen 80 default_server;\n    listen [::]:80 " +
	"default_server;\n    server_name _;\n    include /etc/nginx/conf.d/service-url.inc;\n}\n"

const managedTLS = "# Written by deploy-action for shop.\n" +
	"server { listen 80; listen [::]:80; server_name shop.example; }\n" +
	"server { listen 443 ssl http2; listen [::]:443 ssl http2; server_name shop.example; include " +
	"/etc/nginx/conf.d/service-url.inc; }\n"

const longName = "a234567890123456789012345678901234.shop.example"

func TestNginxIsJudgedBeforeAnythingChanges(t *testing.T) {
	const folder = "/opt/n/sites"
	for _, tt := range []struct {
		name, otherwise, text string
		want                  []string // parts of the lines; a fault or note beyond them is one too many
	}{
		{
			"a host as it comes", "",
			mainConf("/etc/nginx/sites-enabled/welcome", "server {\n listen 80 default_server;\n listen [::]:80 "+
				"default_server;\n server_name _;\n}"),
			nil,
		},
		{"nothing else", "", mainConf(), nil},
		{
			"an nginx with little in it", "built='nginx/1.18.0 --prefix=/x --without-http_geo_module " +
				"--without-http_limit_conn_module --with-http_ssl_module'", mainConf(),
			[]string{"fault: nginx was built without geo limit_conn, which the site needs: on Debian"},
		},
		{
			"an nginx without TLS", "built='nginx/1.18.0 --prefix=/x'; https=yes server_name=shop.example", mainConf(),
			[]string{"fault: nginx was built without ssl, which the site needs"},
		},
		{
			"a name that is too long for the table", "server_name='shop.example " + longName + "'", mainConf(),
			[]string{"fault: nginx can't have a name of 47 letters (input server-name) as it is: echo " +
				"'server_names_hash_bucket_size 128;' | sudo tee /etc/nginx/conf.d/long-names.conf"},
		},
		{"a name that just fits", "server_name=" + longName[1:], mainConf(), nil},
		{
			"a name that is too long, where there is room", "server_name=" + longName,
			mainConf("/etc/nginx/conf.d/names.conf", "  server_names_hash_bucket_size 128;"), nil,
		},
		{
			"a name that is too long, and loaded", "server_name=" + longName,
			mainConf("/etc/nginx/conf.d/shop.conf", strings.ReplaceAll(managed, "server_name _", "server_name "+longName)), nil,
		},
		{
			"sockets of IPv6 for both, with its options in another order", "",
			mainConf("/etc/nginx/sites-enabled/welcome", "server { listen [::]:80 default_server ipv6only=off; }"),
			[]string{"site: /etc/nginx/conf.d one socket: 80 "},
		},
		{"our site, loaded", "", mainConf("/etc/nginx/conf.d/shop.conf", managed), nil},
		{
			"HTTPS beside another's, by their names", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 443 ssl default_server; server_name blog.example; }"),
			nil,
		},
		{
			"HTTPS of ours, loaded", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/shop.conf", managedTLS, "/etc/nginx/conf.d/blog.conf",
				"server { listen 443 ssl; server_name blog.example; }"),
			nil,
		},
		{
			"HTTPS of ours, whose certificate nobody renews", "https=yes server_name=shop.example verify_host=shop.example; " +
				"have() { true; }; timeout() { :; }; openssl() { echo notAfter=Nov 27 15:49:13 2026 GMT; return 1; }",
			mainConf("/etc/nginx/conf.d/shop.conf", managedTLS),
			[]string{"note: the certificate of the site ends Nov 27 15:49:13 2026 GMT, within a week: "},
		},
		{
			"HTTPS of ours, whose certificate is good", "https=yes server_name=shop.example verify_host=shop.example; " +
				"have() { true; }; timeout() { :; }; openssl() { echo notAfter=Nov 27 15:49:13 2026 GMT; }",
			mainConf("/etc/nginx/conf.d/shop.conf", managedTLS),
			nil,
		},
		{
			"HTTPS of another one with the name", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 443 ssl; server_name shop.example; }"),
			[]string{
				"fault: /etc/nginx/conf.d/blog.conf:1 (listen *:443; server_name shop.example) answers for the name " +
					"shop.example already",
			},
		},
		{
			"the same, and plain HTTP is asked for", "server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 443 ssl; server_name shop.example; }"),
			nil,
		},
		{
			"HTTPS of another default server, and no name", "https=yes",
			mainConf("/etc/nginx/conf.d/shop.conf", managed, "/etc/nginx/conf.d/blog.conf",
				"server { listen 443 ssl default_server; server_name blog.example; }"),
			[]string{"(listen *:443; server_name blog.example) is the default_server of port 443 already"},
		},
		{
			"HTTPS, and the host's own address is another's", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 10.0.0.5:443 ssl; server_name blog.example; }"),
			[]string{"has the address 10.0.0.5 of this host to itself, so whoever comes to it is answered there: let it " +
				"listen on port 443 of all addresses (listen 443)"},
		},
		{"another default server", "", mainConf("/etc/nginx/conf.d/blog.conf",
			"server {\n listen 80 default_server;\n server_name blog.example;\n}"), []string{
			"fault: /etc/nginx/conf.d/blog.conf:1 (listen *:80; server_name blog.example) is the default_server of " +
				"port 80 already, and a site without names must be that: set the input server-name",
		}},
		{
			"another default server of IPv6 alone", "",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen [::]:80 default_server; server_name "+
				"blog.example; }"),
			[]string{"fault: /etc/nginx/conf.d/blog.conf:1 (listen [::]:80; "},
		},
		{
			"another default server, beside a site with a name", "server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 80 default_server; server_name blog.example; }"),
			nil,
		},
		{
			"the package of nginx.org", "",
			mainConf("/etc/nginx/conf.d/default.conf", "server {\n    listen       80;\n    server_name  "+
				"localhost;\n    location / { root /usr/share/nginx/html; }\n}"),
			nil,
		},
		{
			"a site with a name that another has", "server_name='shop.example *.shop.example' verify_host=shop.example",
			mainConf("/etc/nginx/sites-enabled/old", "\nserver {\n  listen 80; server_name a.example\n   "+
				"shop.example;\n}"),
			[]string{
				"fault: /etc/nginx/sites-enabled/old:2 (listen *:80; server_name a.example shop.example) answers for " +
					"the name shop.example already: ",
			},
		},
		{
			"a site with a name that another has by a pattern", "server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/sites-enabled/old", "server { server_name *.example; }"), nil,
		},
		{
			"a pattern of ours within another's names", "server_name=*.shop.example verify_host=www.shop.example",
			mainConf("/etc/nginx/sites-enabled/old", "server { server_name .shop.example; }"),
			[]string{
				"fault: /etc/nginx/sites-enabled/old:1 (listen *:80; server_name .shop.example) answers for the " +
					"name *.shop.example already",
			},
		},
		{
			"a regular expression, which may fit", "server_name=*.shop.example verify_host=www.shop.example",
			mainConf("/etc/nginx/sites-enabled/old", `server { server_name "~^[a-z]{3}\.shop;"; }`), nil,
		},
		{
			"our name, on another port", "server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/sites-enabled/old",
				"server { listen 8080; listen 443 ssl; server_name shop.example; }"),
			nil,
		},
		{
			"a server on loopback", "",
			mainConf("/etc/nginx/conf.d/status.conf", "server { listen 127.0.0.1:80; listen localhost:80; "+
				"stub_status; }"),
			nil,
		},
		{"a server on the host's own address", "", mainConf("/etc/nginx/conf.d/blog.conf",
			"server { listen 10.0.0.5; server_name blog.example; }"), []string{
			"fault: /etc/nginx/conf.d/blog.conf:1 (listen 10.0.0.5:80; server_name blog.example) has the address " +
				"10.0.0.5 of this host to itself, so whoever comes to it is answered there: let it listen on port " +
				"80 of all addresses (listen 80)",
		}},
		{
			"a server on it, added beside our site", "",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 10.0.0.5:80; }", "/etc/nginx/conf.d/shop.conf",
				managed),
			[]string{
				"fault: /etc/nginx/conf.d/blog.conf:1 (listen 10.0.0.5:80; server_name \"\") has the address 10.0.0.5",
			},
		},
		{
			"a server on another address of the host", "",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 192.168.7.1:80; }"),
			[]string{
				"note: /etc/nginx/conf.d/blog.conf:1 has the address 192.168.7.1 to itself: whoever comes to that " +
					"address of this host is answered there, and not by shop",
			},
		},
		{
			"a server on the host's own address of IPv6", "SSH_CONNECTION='2001:db8::9 1 2001:db8::5 22'",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen [2001:db8::5]:80; }"),
			[]string{"fault: /etc/nginx/conf.d/blog.conf:1 (listen [2001:db8::5]:80; "},
		},
		{
			"a balancer's protocol", "",
			mainConf("/etc/nginx/conf.d/lb.conf", "server { listen 80 proxy_protocol; server_name lb.example; }"),
			[]string{
				"note: /etc/nginx/conf.d/lb.conf:1 says proxy_protocol for port 80, and nginx takes that for all " +
					"sites there",
			},
		},
		{
			"a balancer's protocol, on another port", "",
			mainConf("/etc/nginx/conf.d/lb.conf", "server { listen 8080 proxy_protocol; server_name lb.example; }"), nil,
		},
		{
			"a balancer's protocol, for TLS", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/lb.conf", "server { listen 443 ssl proxy_protocol; server_name lb.example; }"),
			[]string{"note: /etc/nginx/conf.d/lb.conf:1 says proxy_protocol for port 443, and nginx takes that"},
		},
		{
			"another address of the host, for TLS", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen [2001:db8::7]:443 ssl; }"),
			[]string{"note: /etc/nginx/conf.d/blog.conf:1 has the address [2001:db8::7] to itself: whoever comes"},
		},
		{
			"the default server of HTTP/3", "https=yes",
			mainConf("/etc/nginx/conf.d/blog.conf", "server { listen 443 quic default_server; listen 443 ssl; "+
				"server_name blog.example; }"),
			nil,
		},
		{
			"HTTP/3 beside one socket for both protocols", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/a.conf", "server { listen 443 quic; listen [::]:443 ssl ipv6only=off; "+
				"server_name a.example; }"),
			[]string{"site: /etc/nginx/conf.d one socket: 443 "},
		},
		{
			"HTTP/3 alone", "server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/a.conf", "server { listen 443 quic; server_name shop.example; }"), nil,
		},
		{
			"one socket for both protocols", "",
			mainConf("/etc/nginx/conf.d/a.conf", "server { listen [::]:80 ipv6only=off; server_name a.example; }"),
			[]string{"site: /etc/nginx/conf.d one socket: 80 "},
		},
		{
			"one socket for both protocols, for TLS alone", "https=yes server_name=shop.example verify_host=shop.example",
			mainConf("/etc/nginx/conf.d/a.conf", "server { listen 80; listen [::]:80; "+
				"listen [::]:443 ssl ipv6only=off; server_name a.example; }"),
			[]string{"site: /etc/nginx/conf.d one socket: 443 "},
		},
		{
			"one socket on an address that is not any, and one beside IPv4's", "",
			mainConf("/etc/nginx/conf.d/a.conf", "server { listen [::1]:80 ipv6only=off; server_name a.example; }\n"+
				"server { listen 443 ssl; listen [2001:db8::9]:443 ssl ipv6only=off; server_name b.example; }"),
			nil,
		},
		{
			"a server of mail, and of stream", "",
			"# configuration file /etc/nginx/nginx.conf:\nevents {}\nmail { server { listen 80; server_name _; } " +
				"}\nstream { include /etc/nginx/conf.d/*; server { listen 10.0.0.5:80; } }\nhttp { include " +
				"/etc/nginx/conf.d/*.conf; }\n",
			nil,
		},
		{
			"code in a block", "",
			mainConf("/etc/nginx/conf.d/a.conf", "server {\n access_by_lua_block {\n  local s = \"} ; {\" -- it's\n "+
				"}\n listen 81; server_name a;\n}"),
			nil,
		},
		{
			"no folder for sites", "",
			"# configuration file /opt/n/nginx.conf:\nevents {}\n\nhttp {\n server { listen 81; include sites/*; " +
				"}\n include mime.types; include one.conf; }\n",
			[]string{
				"fault: the http block at /opt/n/nginx.conf:3 includes no folder that a site could be put into: add " +
					"the line: include /etc/nginx/conf.d/*.conf;",
			},
		},
		{
			"another folder for sites", "",
			"# configuration file /opt/n/nginx.conf:\nhttp { include " + folder + "/[a-z]*.conf; }\n",
			[]string{"site: " + folder + " one socket:  "},
		},
		{
			"a folder that takes other names", "",
			"# configuration file /opt/n/nginx.conf:\nhttp { include " + folder + "/site-*.conf; }\n",
			[]string{"fault: the http block at /opt/n/nginx.conf:1 "},
		},
		{
			"the include at server level", "",
			mainConf("/etc/nginx/sites-enabled/mine", "server {\n listen 80 default_server; server_name "+
				"a.example;\n include conf.d/service-url.inc;\n location / { proxy_pass $service_url; } }"),
			nil,
		},
		{
			"the include in a file of the block", "",
			mainConf("/etc/nginx/sites-enabled/mine", "server { listen 80 default_server; include snippets/*.conf; }",
				"/etc/nginx/snippets/up.conf", "include /etc/nginx/conf.d/*.inc;"),
			nil,
		},
		{"the include in a location", "", mainConf("/etc/nginx/sites-enabled/mine",
			"server {\n listen 80 default_server; server_name a.example;\n location / {\n  include "+
				"conf.d/service-url.inc;\n proxy_pass $service_url; } }"), []string{
			"fault: /etc/nginx/sites-enabled/mine:4 includes /etc/nginx/conf.d/service-url.inc inside location: it " +
				"must be included at server level, beside the locations",
			"fault: /etc/nginx/sites-enabled/mine:1 (listen *:80; server_name a.example) is the default_server of " +
				"port 80",
		}},
		{
			"the include outside of a server", "",
			"# configuration file /etc/nginx/nginx.conf:\nhttp {\n include /etc/nginx/conf.d/*.conf; include " +
				"/etc/nginx/conf.d/*.inc; }\n",
			[]string{
				"fault: /etc/nginx/nginx.conf:2 includes /etc/nginx/conf.d/service-url.inc outside of a server block",
			},
		},
		{"the include behind another name", "", mainConf("/etc/nginx/sites-enabled/mine",
			"server {\n listen 80; server_name a.example;\n include conf.d/service-url.inc;\n}\nserver { listen 80 "+
				"default_server; server_name b.example; }"), []string{
			"fault: /etc/nginx/sites-enabled/mine:5 (listen *:80; server_name b.example) answers for localhost on " +
				"port:80, and not /etc/nginx/sites-enabled/mine:1, which includes " +
				"/etc/nginx/conf.d/service-url.inc: set the input server-name to a name of the latter",
			"fault: /etc/nginx/sites-enabled/mine:5 (listen *:80; server_name b.example) answers for localhost on " +
				"10.0.0.5:80, and not",
		}},
		{
			"the include behind a redirect to TLS", "verify_host=a.example server_name=a.example",
			mainConf("/etc/nginx/sites-enabled/mine", "server {\n listen 443 ssl; server_name a.example;\n include "+
				"conf.d/service-url.inc;\n}\nserver { listen 80; server_name a.example; return 301 "+
				"https://$host$request_uri; }"),
			nil,
		},
		{"no http at all", "", "# configuration file /etc/nginx/nginx.conf:\nevents {}\n", nil},
		{"nothing that could be read", "", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judged(t, tt.otherwise, tt.text)
			want := tt.want
			if !strings.Contains(strings.Join(want, "\n"), "site: ") {
				want = append(want, "site: /etc/nginx/conf.d one socket:  ")
			}
			lines := 0
			for line := range strings.Lines(got) {
				if line = strings.TrimSpace(line); line != "fault:" && line != "note:" {
					lines++
				}
			}
			for _, part := range want {
				if !strings.Contains(got, part) {
					t.Errorf("lacks %q:\n%s", part, got)
				}
			}
			if lines != len(want) {
				t.Errorf("%d lines, want %d:\n%s", lines, len(want), got)
			}
		})
	}
}

// Whether a block of theirs says a Host where it passes requests on: nginx inherits all headers of a
// level, or none.
func TestWhetherTheirBlockSaysAHost(t *testing.T) {
	const pass, host = " proxy_pass $service_url; ", " proxy_set_header Host $host; "
	for _, tt := range []struct {
		name, http, server, location string
		hostless                     bool
	}{
		{"none", "", "", pass, true},
		{"in the location", "", "", "proxy_set_header HOST $http_host;" + pass + "proxy_set_header X-A b;", false},
		{"in a file of the location", "", "", pass + "include proxy_params;", false},
		{"of the server", "", host, pass, false},
		{"of http", host, "", pass, false},
		{"of the server, hidden by another header", "", host, pass + "proxy_set_header Connection '';", true},
		{"of http, hidden by a header of the server", host, "proxy_set_header X-A b;", pass, true},
		{"nginx's own, by its name", "", "", pass + "proxy_set_header Host ${proxy_host};", true},
		{"in a condition", "", "", "if ($request_method = GET) {" + pass + "}", true},
		{"to a variable of theirs", "", "set $to $service_url;", "proxy_pass $to/api;", true},
		{"past the include", "", "", "proxy_pass http://127.0.0.1:9000;", false},
		{"one location of two", "", "location /a {" + pass + "}", host + pass, true},
		{
			"in a block that does not include it", "", "", host + pass +
				"} }\nserver { listen 81; location / { proxy_pass http://$host;", false,
		},
		{"nothing is passed on", "", "", "return 204;", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judged(t, "", mainConf("/etc/nginx/conf.d/0.conf", tt.http, "/etc/nginx/proxy_params", host,
				"/etc/nginx/sites-enabled/mine", "server { listen 80 default_server; include conf.d/service-url.inc; "+
					tt.server+" location / { "+tt.location+" } }"))
			if want := "fault: \nnote: \nsite: /etc/nginx/conf.d one socket:  hostless: "; got != want+map[bool]string{
				true: "yes\n", false: "no\n",
			}[tt.hostless] {
				t.Errorf("%s, want hostless: %t", got, tt.hostless)
			}
		})
	}
}

// What has only a routine deployment's rights reads the files as nginx would, in an order of its
// own.
func TestTheFilesAreReadWithoutRoot(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"n.conf": "events {}\nhttp {\n# include secret.conf;\n include sites/*.conf ; server { listen " +
			"81;include part.inc; } include \"sites/b.conf\";}\n",
		"sites/a.conf": "server { listen 82; include " + dir +
			"/part.inc; }\n", "sites/b.conf": "server { listen 83; }", "sites/c.txt": "no",
		"part.inc": "server_name p;\n", "secret.conf": "no",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := bash(t, "EX_CHECK=64 app=shop nginx_include=/x\n"+read(t, "lib/base.sh")+read(t, "lib/root.sh")+read(t,
		"lib/nginx.sh")+
		"root_prints_texts() { false; }\nbuilt=none nginx=(true -c "+dir+"/n.conf)\nnginx_texts | nginx_rows | grep ^server")
	want := "server\t" + dir + "/sites/a.conf\t1\tno\t*:82\tp\nserver\t" + dir +
		"/sites/b.conf\t1\tno\t*:83\t\"\"\nserver\t" + dir + "/n.conf\t4\tno\t*:81\tp\nserver\t" + dir +
		"/sites/b.conf\t1\tno\t*:83\t\"\"\n"
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// A process may call itself what it likes: only root's count, and of what it names only what nobody
// else may write.
func TestWhichNginxIsCalled(t *testing.T) {
	for _, tt := range []struct{ name, titles, want string }{
		{"as it comes", "12 nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", "nginx|"},
		{"none", "", "nginx|"},
		{"its own file", "12 nginx: master process nginx -c /etc/passwd", "nginx -c /etc/passwd|"},
		{
			"its own file and folder", "12 nginx: master process nginx -p /etc/ -c /etc/passwd -g daemon on;",
			"nginx -p /etc -c /etc/passwd|",
		},
		{"two", "12 nginx: master process nginx -c /etc/passwd\n13 nginx: master process nginx", "nginx|"},
		{"a file that others may write", "12 nginx: master process nginx -c /tmp/x", "nginx|-c /tmp/x"},
		{"a file that is not whole", "12 nginx: master process nginx -c conf/x", "nginx|-c conf/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, "EX_CHECK=64 app=shop ports=\nnginx_include=\n"+read(t, "lib/base.sh")+
				read(t, "lib/root.sh")+"root_path() { file=/usr/sbin/nginx; }\nmasters() { echo '"+tt.titles+"'; }\n"+
				"find_nginx; printf '%s|%s' \"${nginx[*]}\" \"$nginx_ignored\"")
			if out != tt.want {
				t.Errorf("got %q, want %q", out, tt.want)
			}
		})
	}
}

// The ports of other applications, of texts of this version and earlier ones, and of one that is
// only set up.
func TestThePortsThatApplicationsClaim(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop/site.conf": App{Name: "shop", Ports: [2]uint16{8080, 8081}, ServerName: "_", IPv6: true}.SiteConf(),
		"blog/site.conf": App{Name: "blog", Ports: [2]uint16{8081, 9000}, TheirSite: true}.SiteConf(),
		"admin/sudoers": "ubuntu ALL=(root) NOPASSWD: /usr/bin/systemctl -q stop -- admin@8090.service\nubuntu " +
			"ALL=(root) NOPASSWD: /usr/sbin/nginx -t\n",
		"admin/site.conf": "upstream a { server 127.0.0.1:8091 max_fails=0; # server 127.0.0.1:7\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := strings.ReplaceAll(read(t, "lib/claims.sh"), "/var/lib/deploy-action", dir)
	out := bash(t, "app=shop\n"+script+"claims\nfor port in 8080 8081 8090 8091 9000 7; do claimed $port; "+
		"echo $port $other $mine; done")
	if want := "8080 no\n8081 blog yes\n8090 admin no\n8091 no\n9000 blog no\n7 no\n"; strings.ReplaceAll(out,
		"8080 yes", "8080 no") != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// The site goes where nginx reads sites from, and listens on what it can have there.
func TestWhereTheSiteGoes(t *testing.T) {
	for _, tt := range []struct {
		name string
		app  App
		file string
		want []string
	}{
		{
			"as usual",
			App{Folder: "/etc/nginx/conf.d", ServerName: "_", IPv6: true},
			"/etc/nginx/conf.d/shop.conf",
			[]string{"listen 80 default_server;", "listen [::]:80 default_server;"},
		},
		{
			"no IPv6",
			App{Folder: "/etc/nginx/conf.d", ServerName: "a.example"},
			"/etc/nginx/conf.d/shop.conf",
			[]string{"listen 80;"},
		},
		{
			"one socket for both",
			App{Folder: "/opt/web/sites", ServerName: "a.example", IPv6: true, OneSocket: []string{"80"}},
			"/opt/web/sites/shop.conf",
			[]string{"listen [::]:80;"},
		},
		{
			"for a block of the user's",
			App{Folder: "/opt/web/sites", TheirSite: true},
			"/opt/web/sites/shop.upstreams.conf", nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.app.Name, tt.app.Ports, tt.app.Path, tt.app.Include = "shop", [2]uint16{
				8080,
				8081,
			}, "/srv/shop", "/etc/nginx/conf.d/service-url.inc"
			var listens []string
			_, site, _ := strings.Cut(tt.app.SiteConf(), "\nserver {")
			site, _, _ = strings.Cut(site, "server_name")
			for line := range strings.Lines(site) {
				if strings.Contains(line, "listen ") {
					listens = append(listens, strings.TrimSpace(line))
				}
			}
			if tt.app.SiteFile() != tt.file || !slices.Equal(listens, tt.want) {
				t.Errorf("file %s, listens %q; want %s, %q", tt.app.SiteFile(), listens, tt.file, tt.want)
			}
		})
	}
}

// A user without root reads nginx's files as nginx does, from include to include.
func TestTheIncludesOfAFile(t *testing.T) {
	out := bash(t, "app=a\n"+read(t, "lib/nginx.sh")+"file=$(mktemp)\ncat >\"$file\" <<'X'\n"+`
http { include a.conf; include "b c.conf"  ;include c;
  # include no;
	include	/e/*.conf; server { include '/f'; } }
myinclude no; include
X
there=$(<"$file")
includes
rm -- "$file"
printf '%s\n' "${patterns[@]}"
`)
	if want := "a.conf\nb c.conf\nc\n/e/*.conf\n/f\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}
