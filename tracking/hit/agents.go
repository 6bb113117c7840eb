package hit

// kinds are those that an agent's rule is about.
type kinds uint8

const (
	opens kinds = 1 << iota
	clicks
	both = opens | clicks
)

func (k kinds) include(kind Kind) bool {
	return kind == Open && k&opens != 0 || kind == Click && k&clicks != 0
}

// place says where in an agent's name the text of a rule must be.
type place uint8

const (
	// anywhere in it.
	anywhere place = iota
	// first in it: what calls itself a browser before is one.
	first
	// whole is all of it.
	whole
)

// agentRule is about hits whose User-Agent has a text, in lower case.
type agentRule struct {
	kinds  kinds
	place  place
	text   string
	reason Reason
	// because says how it is known.
	because string
}

// agentRules are tried in turn; the first that fits decides.
func agentRules() []agentRule {
	return []agentRule{
		// Proxies that fetch an image when, and because, it is displayed.
		{opens, anywhere, "googleimageproxy", Human, "Gmail fetches an image through its proxy when the message is displayed"},
		{opens, anywhere, "yahoomailproxy", Human, "Yahoo does the same"},
		{clicks, anywhere, "googleimageproxy", Scanner, "a proxy for images follows no link for anybody"},
		{clicks, anywhere, "yahoomailproxy", Scanner, "a proxy for images follows no link for anybody"},

		{opens, whole, "mozilla/5.0", AppleProxy, "the whole name that Mail Privacy Protection gives"},
		{clicks, whole, "mozilla/5.0", Scanner, "no browser leaves it at that, and Apple's proxy follows no links"},
		{opens, anywhere, "edge/12.246 mozilla/5.0", Prefetch, "Gmail fetches images ahead under this name while a session is open"},

		// Filters of mail.
		{both, anywhere, "barracuda sentinel", Scanner, "Barracuda's filter names itself so"},
		{both, anywhere, "proofpoint", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "mimecast", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "messagelabs", Scanner, "Symantec's mail filter"},
		{both, anywhere, "trendmicro", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "fireeye", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "trellix", Scanner, "FireEye's name today"},
		{both, anywhere, "ironport", Scanner, "Cisco's mail filter"},
		{both, anywhere, "fortimail", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "cloudmark", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "hornetsecurity", Scanner, "a filter's name, which no browser has"},
		{both, anywhere, "virustotal", Scanner, "fetches what is submitted to it for scanning"},
		{both, anywhere, "urlscan", Scanner, "fetches what is submitted to it for scanning"},
		{both, anywhere, "google-safety", Scanner, "Google's crawler against abuse names itself so"},
		// Outlook shows images under the name ms-office, so that opens are left.
		{clicks, anywhere, "office existence discovery", Prefetch, "Office asks for a link before it gives it to the browser, whose click follows"},
		{clicks, anywhere, "office protocol discovery", Prefetch, "Office asks for a link before it gives it to the browser, whose click follows"},
		{clicks, anywhere, "ms-office", Prefetch, "Office asks for a link before it gives it to the browser, whose click follows"},

		// Browsers that nobody looks at.
		{both, anywhere, "headlesschrome", Headless, "Chrome without a window names itself so"},
		{both, anywhere, "phantomjs", Headless, "a browser without a window"},
		{both, anywhere, "slimerjs", Headless, "a browser without a window"},
		{both, anywhere, "puppeteer", Headless, "it drives browsers for programs"},
		{both, anywhere, "playwright", Headless, "it drives browsers for programs"},
		{both, anywhere, "selenium", Headless, "it drives browsers for programs"},

		// Previews and crawlers, which have their own names in all lists.
		{both, anywhere, "bingpreview", Crawler, "Microsoft's previews of links"},
		{both, anywhere, "skypeuripreview", Crawler, "Skype's and Teams' previews of links"},
		{both, anywhere, "slackbot", Crawler, "Slack's previews of links"},
		{both, anywhere, "slack-imgproxy", Crawler, "Slack's previews of images"},
		{both, anywhere, "facebookexternalhit", Crawler, "Facebook's previews of links"},
		{both, anywhere, "whatsapp/", Crawler, "WhatsApp's previews of links"},
		{both, anywhere, "telegrambot", Crawler, "Telegram's previews of links"},
		{both, anywhere, "yahoo! slurp", Crawler, "Yahoo's crawler"},
		{both, anywhere, "bot/", Crawler, "so crawlers name themselves: Googlebot/2.1, bingbot/2.0, Discordbot/2.0"},
		{both, anywhere, "crawler", Crawler, "so crawlers name themselves"},
		{both, anywhere, "spider", Crawler, "so crawlers name themselves: Baiduspider, Bytespider"},

		// Programs. What an app of a person's shows goes through a browser,
		// whose name comes first.
		{both, first, "curl/", Library, "a command line tool"},
		{both, first, "wget/", Library, "a command line tool"},
		{both, first, "python", Library, "python-requests, python-httpx, Python-urllib and Python with aiohttp"},
		{both, first, "go-http-client/", Library, "Go's own client"},
		{both, first, "okhttp/", Library, "a client of apps, which no browser uses by this name"},
		{both, first, "java/", Library, "Java's own client"},
		{both, first, "apache-httpclient/", Library, "a client of Java programs"},
		{both, first, "ahc/", Library, "a client of Java programs"},
		{both, first, "axios/", Library, "a client of Node programs"},
		{both, first, "node", Library, "Node's own client, and node-fetch"},
		{both, first, "undici", Library, "Node's own client"},
		{both, first, "got ", Library, "a client of Node programs"},
		{both, first, "libwww-perl/", Library, "a client of Perl programs"},
		{both, first, "guzzlehttp/", Library, "a client of PHP programs"},
		{both, first, "ruby", Library, "Ruby's own client"},
		{both, first, "faraday ", Library, "a client of Ruby programs"},
		{both, first, "postmanruntime/", Library, "a tool of developers"},
		{both, first, "reqwest/", Library, "a client of Rust programs"},
	}
}
