package config

// Checks says for single rules for bulk mail what follows when a message breaks
// them; Inherited for what the stream says of all.
type Checks struct {
	From            string `toml:"from" oneof:"default off warn enforce"`
	Impersonation   string `toml:"impersonation" oneof:"default off warn enforce"`
	DKIMAlignment   string `toml:"dkim_alignment" oneof:"default off warn enforce"`
	SingleFields    string `toml:"single_fields" oneof:"default off warn enforce"`
	MessageID       string `toml:"message_id" oneof:"default off warn enforce"`
	Date            string `toml:"date" oneof:"default off warn enforce"`
	OneClick        string `toml:"one_click" oneof:"default off warn enforce"`
	FeedbackID      string `toml:"feedback_id" oneof:"default off warn enforce"`
	UnsubscribeLink string `toml:"unsubscribe_link" oneof:"default off warn enforce"`
	Size            string `toml:"size" oneof:"default off warn enforce"`
	HTMLSize        string `toml:"html_size" oneof:"default off warn enforce"`
}

// What follows when a message breaks a rule, where no more is said.
const (
	checksOff  = "off"
	checksWarn = "warn"
)

func defaultChecks() Checks {
	return Checks{
		Inherited, Inherited, Inherited, Inherited, Inherited, Inherited, Inherited, Inherited, Inherited, Inherited, Inherited,
	}
}

// Named returns what is said of single rules, by their names.
func (c Checks) Named() map[string]string {
	named := map[string]string{
		"from": c.From, "impersonation": c.Impersonation, "dkim_alignment": c.DKIMAlignment, "single_fields": c.SingleFields,
		"message_id": c.MessageID, "date": c.Date, "one_click": c.OneClick, "feedback_id": c.FeedbackID,
		"unsubscribe_link": c.UnsubscribeLink, "size": c.Size, "html_size": c.HTMLSize,
	}
	for rule, level := range named {
		if level == Inherited {
			delete(named, rule)
		}
	}
	return named
}
