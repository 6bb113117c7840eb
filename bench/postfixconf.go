package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postrider-mta/postrider/bench/peer"
)

// write makes the instance's configuration, and returns its folder.
func (p *postfix) write(ctx context.Context, dir string, j job, submission, milter string, sinkPort int) (string, error) {
	config := filepath.Join(dir, "config")
	for _, name := range []string{config, filepath.Join(dir, "queue"), filepath.Join(dir, "data")} {
		if err := os.Mkdir(name, 0o755); err != nil {
			return "", err
		}
	}
	owner, _, err := userIDs(p.ask(ctx, "-h", "mail_owner"))
	if err != nil {
		return "", err
	}
	if err := os.Chown(filepath.Join(dir, "data"), owner, -1); err != nil {
		return "", err
	}
	main := fmt.Sprintf(postfixMain, dir, p.sessions)
	if milter != "" {
		main += fmt.Sprintf(postfixMilter, milter)
	}
	contents := map[string]string{
		"main.cf":   main,
		"master.cf": fmt.Sprintf(peer.PostfixServices, submission),
		"transport": transport(j, sinkPort),
	}
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return config, nil
}

// transport names each domain's exchanger, which saves Postfix the look-up.
func transport(j job, sinkPort int) string {
	var lines strings.Builder
	for _, d := range append(j.destinations(), destination{probeDomain, probeAddress}) {
		fmt.Fprintf(&lines, "%s smtp:[%s]:%d\n", d.domain, d.address, sinkPort)
	}
	return lines.String()
}

// postfixMain is tuned for this work: what costs time and is not needed is
// off, what limits is wide, and what makes mail safe is as it is delivered.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
myhostname = mail.bench.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = /dev/null
maillog_file_prefixes = /dev

# No DNS, no names of peers, no tables.
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
transport_maps = texthash:%[1]s/config/transport
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtp_tls_security_level = none

# No MIME processing on the way in or out.
disable_mime_input_processing = yes
disable_mime_output_conversion = yes

# Processes that live long, and enough of them.
default_process_limit = 200
max_use = 10000
smtpd_client_connection_count_limit = %[2]d
smtpd_client_event_limit_exceptions = static:all

# A queue manager that holds all in memory and sends at full speed at once.
in_flow_delay = 0
qmgr_message_active_limit = 40000
qmgr_message_recipient_limit = 40000
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
smtp_connection_cache_on_demand = no
`

const postfixMilter = `
smtpd_milters = inet:%s
milter_default_action = tempfail
`
