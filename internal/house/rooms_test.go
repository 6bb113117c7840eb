package house

// room is one package's place in the house; docs/design.md says why. A room
// that is new belongs there and here.
type room struct {
	floor int
	// imports are the packages of ours that it may import. A name that ends in
	// /... stands for all below it, values for those of internal that everybody
	// may use, and below for every package on a lower floor.
	imports []string
}

const (
	values = "values"
	below  = "below"
)

// valueRooms are what the word values stands for.
func valueRooms() []string {
	return []string{"internal/mail", "internal/account", "internal/person", "internal/mimetree"}
}

func rooms() map[string]room {
	return map[string]room{
		"cmd/postrider": {6, []string{"daemon", "daemon/config", "daemon/admin/api", "daemon/offline", "daemon/sink"}},

		"daemon":           {5, []string{below, "daemon/config", "daemon/admin", "daemon/admin/api"}},
		"daemon/config":    {5, []string{"internal/spelling", "internal/window"}},
		"daemon/admin":     {5, []string{"daemon/admin/api", "queue", "privacy", "event", values}},
		"daemon/admin/api": {5, []string{"event", values}},
		"daemon/offline":   {5, []string{below, "daemon/config"}},
		"daemon/sink":      {5, []string{"internal/testmx", values}},

		"mta/submission":          {4, []string{"mta/submission/password", "mta/submission/foreign", "mta/submission/bulk", "queue", "internal/spelling", values}},
		"mta/submission/password": {4, nil},
		"mta/submission/foreign":  {4, []string{values}},
		"mta/submission/bulk":     {4, []string{values}},
		"mta/delivery":            {4, []string{"mta/smtpclient", "mta/route", "mta/shape", "mta/source", "mta/bounce", "mta/bounce/dsn", "event", "queue", values}},
		"mta/smtpclient":          {4, []string{values}},
		"mta/smtpclient/proxy":    {4, nil},
		"mta/route":               {4, []string{"mta/route/sts", "mta/route/dane", values}},
		"mta/route/sts":           {4, []string{"internal/datafolder", values}},
		"mta/route/dane":          {4, nil},
		"mta/shape":               {4, []string{values}},
		"mta/source":              {4, []string{values}},
		"mta/tlsreport":           {4, []string{"internal/datafolder", values}},
		"mta/inbound":             {4, []string{"mta/submission", "mta/bounce", "mta/bounce/report", "mta/bounce/verp", "event", "queue", values}},
		"mta/bounce":              {4, []string{values}},
		"mta/bounce/report":       {4, []string{"mta/bounce", values}},
		"mta/bounce/dsn":          {4, []string{"mta/bounce", values}},
		"mta/bounce/verp":         {4, []string{values}},
		"mta/notice":              {4, []string{"mta/bounce", "mta/bounce/dsn", "queue", values}},

		"tracking":         {3, []string{"tracking/...", "event", values}},
		"tracking/hit":     {3, nil},
		"tracking/rewrite": {3, []string{"tracking/token", values}},
		"tracking/token":   {3, nil},
		"queue":            {3, []string{"event", values}},
		"queue/boltqueue":  {3, []string{"queue", "queue/journal", "event", "internal/boltguard", values}},
		"queue/journal":    {3, nil},
		"queue/jetqueue":   {3, []string{"queue", "event", values}},
		"queue/queuetest":  {3, []string{"queue", "event", values}},
		"privacy":          {3, []string{"privacy/suppress", "event", values}},
		"privacy/consent":  {3, []string{"event", "internal/boltguard", "internal/datafolder", values}},
		"privacy/suppress": {3, []string{"event", "internal/boltguard", "internal/datafolder", values}},

		"tracking/limit":       {3, nil},
		"tracking/selftest":    {3, []string{"tracking/token"}},
		"tracking/certificate": {3, []string{"internal/datafolder"}},

		"event":         {2, []string{values}},
		"event/log":     {2, []string{"event", "internal/boltguard", "internal/datafolder", values}},
		"event/webhook": {2, []string{"event", "event/log", values}},
		"event/stats":   {2, []string{"event", "event/log", "internal/boltguard", "internal/datafolder", values}},
		"event/watch":   {2, []string{"event", "internal/datafolder", values}},
		"dkim":          {2, []string{values}},

		"internal/mail":       {1, nil},
		"internal/account":    {1, []string{"internal/mail", "internal/window"}},
		"internal/person":     {1, []string{"internal/mail"}},
		"internal/mimetree":   {1, nil},
		"internal/spelling":   {1, nil},
		"internal/window":     {1, nil},
		"internal/boltguard":  {1, nil},
		"internal/datafolder": {1, nil},
		"internal/testmx":     {1, []string{"internal/mail"}},
		"internal/testdisk":   {1, nil},
		"internal/testacme":   {1, nil},
		"internal/house":      {1, nil},
	}
}
