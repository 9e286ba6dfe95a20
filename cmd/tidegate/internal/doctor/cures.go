package doctor

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// Lines to change, as in the files of deploy/.
var (
	cureListen = []Cure{
		{"HAProxy", "bind :443, below frontend, with the port of the URL"},
		{"nginx", "listen 443 ssl; below server, with the port of the URL"},
		{"tidegate.yaml", "listen: 0.0.0.0:8080, without a balancer"},
	}
	cureCertificate = []Cure{
		{"HAProxy", "bind :443 ssl crt FILE, with the certificate, its chain and the key"},
		{"nginx", "ssl_certificate FILE; with the certificate and its chain"},
		{"tidegate.yaml", "tls: {cert_file: ...}, without a balancer"},
	}
	cureName    = []Cure{{"DNS", "an address for the name in the URL"}}
	cureAddress = []Cure{
		{"HAProxy", "server node-1 10.0.0.11:8080, below backend, with the node's listen"},
		{"nginx", "server 10.0.0.11:8080; below upstream, with the node's listen"},
	}
	cureReady = []Cure{
		{"HAProxy", "option httpchk GET /readyz"},
		{"nginx", "proxy_next_upstream http_503;"},
	}
	cureBroker = append([]Cure{{"deploy/runbook.md", "TidegateBrokerDown"}}, cureReady...)
	cureHost   = []Cure{
		{"HAProxy", "no http-request set-header Host"},
		{"nginx", "proxy_set_header Host $http_host;"},
	}
	cureScheme = []Cure{
		{"HAProxy", "http-request set-header X-Forwarded-Proto https if { ssl_fc }"},
		{"nginx", "proxy_set_header X-Forwarded-Proto $scheme;"},
	}
	cureForwarded = []Cure{
		{"HAProxy", "http-request set-header X-Forwarded-For %[src]"},
		{"nginx", "proxy_set_header X-Forwarded-For $remote_addr;"},
	}
	cureUpgrade = []Cure{
		{"HAProxy", "mode http, and no http-request del-header Upgrade"},
		{"nginx", "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_header;"},
	}
	cureBuffer = []Cure{
		{"HAProxy", "no http-response wait-for-body, and no compression type text/event-stream"},
		{"nginx", "proxy_buffering off; and no gzip_types text/event-stream"},
	}
	cureRepeats = []Cure{
		{"HAProxy", "retry-on conn-failure 503"},
		{"nginx", "proxy_next_upstream http_503;"},
	}
	cureTunnel = []Cure{
		{"HAProxy", "timeout tunnel 1h"},
		{"nginx", "proxy_read_timeout 75s;"},
	}
	cureSilence = []Cure{
		{"HAProxy", "timeout server 75s, timeout client 75s"},
		{"nginx", "proxy_read_timeout 75s;"},
	}
	cureLimits = []Cure{{"tidegate.yaml", "limits: the one that is named; or more nodes"}}
	cureClock  = []Cure{{"the machine", "chronyc tracking, or timedatectl set-ntp true"}}
	cureEvict  = []Cure{{"redis.conf", "maxmemory-policy noeviction"}}
	curePubSub = []Cure{{"redis.conf", "client-output-buffer-limit pubsub 32mb 8mb 60"}}
	cureRefuse = []Cure{{"deploy/runbook.md", "TidegateRedisRefuses"}}
)

// cureUnanswered returns the lines to change if a request of the URL fails.
func cureUnanswered(err error) []Cure {
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return cureCertificate
	case errors.As(err, new(*net.DNSError)):
		return cureName
	}
	return cureListen
}

// cureRefused returns the lines to change if a node itself refuses sessions for now, or nil.
func cureRefused(a *answer) []Cure {
	switch {
	case a.status == http.StatusTooManyRequests:
		return cureLimits
	case a.status == http.StatusServiceUnavailable && a.message() != "":
		return cureReady
	}
	return nil
}

func inConfiguration(line string) []Cure { return []Cure{{"tidegate.yaml", line}} }
