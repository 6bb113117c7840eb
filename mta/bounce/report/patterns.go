package report

import (
	"regexp"
	"strings"
)

// address matches an address among words.
const address = `[^\s<>()\[\]",:;@'\\]+@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*`

// patterns are what words are searched with. They run in linear time whatever
// the words are.
type patterns struct {
	// statusField begins a delivery-status that stands among the words.
	statusField *regexp.Regexp
	// returned is the line that announces the message that came back.
	returned *regexp.Regexp
	// receivedField begins its header where no line announces it.
	receivedField *regexp.Regexp

	// daemon is an author who reports bounces, bounceSubject and bounceWords
	// are how they speak, delay says that it is not over.
	daemon, bounceSubject, bounceWords, delay *regexp.Regexp
	// autoSubject begins the subject of a machine's reply, challenge is part
	// of one.
	autoSubject, challenge *regexp.Regexp

	// leading is a line that begins with an address; sentence is an address
	// behind words that make it the recipient.
	leading, sentence *regexp.Regexp
	// list is the name of a mailing list that refuses.
	list *regexp.Regexp
	// code is a reply code with what follows; enhanced an enhanced one.
	code, enhanced *regexp.Regexp
	// toRecipient says that the reply was to RCPT TO, toContent that it came
	// after the message; perhaps marks a guess.
	toRecipient, toContent, perhaps *regexp.Regexp
	// noHost and noMail say that there is no such domain, or that it takes no
	// mail (RFC 7505).
	noHost, noMail *regexp.Regexp
}

func newPatterns() *patterns {
	return &patterns{
		statusField:   regexp.MustCompile(`(?mi)^(?:Reporting-MTA|Original-Recipient|Final-Recipient|Action):[ \t]*\S[^\n]*\n(?:[^\n]*\n){0,12}?(?:Final-Recipient|Original-Recipient|Status):`),
		returned:      regexp.MustCompile(`(?mi)^[ \t>*#=-]*(?:below (?:this line )?is a copy|(?:this is |included is |the following is )?a copy of (?:the|your) (?:original )?(?:message|mail)|(?:the )?original message(?: headers?)?(?: is)?(?: follows?| below)?|(?:the )?headers? of the original message|(?:the )?message headers? follows?|returned message|unsent message|(?:the )?original mail(?: as follows)?|undelivered message follows|bounced e-?mail)\b[^\n]*$`),
		receivedField: regexp.MustCompile(`(?m)^(?:Received:[ \t]*(?:from|by|\()|Return-Path:[ \t]*<|DKIM-Signature:|Message-ID:[ \t]*<)`),

		daemon:        regexp.MustCompile(`(?i)mailer[-_. ]?daemon|mail[-_. ]daemon|postmaster|mail(?:er)? deliver(?:y|) (?:sub)?system|mail delivery|mail administrator|system administrator|ndr administrator|mail system|delivery subsystem`),
		bounceSubject: regexp.MustCompile(`(?i)` + strings.Join(bounceSubjects(), "|")),
		bounceWords:   regexp.MustCompile(`(?i)` + strings.Join(bounceWords(), "|")),
		delay:         regexp.MustCompile(`(?i)` + strings.Join(delayWords(), "|")),
		autoSubject:   regexp.MustCompile(`(?i)^(?:(?:re|fwd?|aw|tr|sv|vs|rif|antw|odp|回复|答复)\s*:\s*)*(?:` + strings.Join(autoSubjects(), "|") + `)`),
		challenge:     regexp.MustCompile(`(?i)please (?:confirm|verify) (?:your|that you)|sender (?:verification|confirmation|address verification)|(?:verify|confirm)(?:ing)? (?:your )?(?:e-?mail )?(?:sender|delivery|message)|challenge.response|message (?:awaiting|needs|requires) (?:your )?(?:confirmation|verification|approval)|\[spam ?arrest\]|boxbe`),

		leading:     regexp.MustCompile(`^[ \t>*]*(?:[45][0-9][0-9] )?(?:\([^)\s]{0,20}\) ?)?["'<(]*(?:mailto:|smtp:|rfc822;[ \t]*)?(` + address + `)["'>)]*`),
		sentence:    regexp.MustCompile(`(?i)(?:\b(?:to|for|recipients?|address(?:es)?|errors?|full|size|attempts?|users?|mailbox|account|in)\b(?: was| is| are)?[: ]*\(?["'<]*)(` + address + `)`),
		list:        regexp.MustCompile(`(?i)(?:mailing list|message-id in) ?<(` + address + `)>`),
		code:        regexp.MustCompile(`(?:^|[\s'"(:;\[<>_-])([45][0-9][0-9])(?:[ \t]+|-|$|:[ \t]|,)`),
		enhanced:    regexp.MustCompile(`(?:^|[^0-9.])([245]\.[0-7]\.[0-9]{1,3})(?:$|[^0-9.])|(?:^|[^0-9.])([245]\.[0-7]\.[0-9]{1,3})\.(?:$|[^0-9])`),
		toRecipient: regexp.MustCompile(`(?i)\brcpt[ _]to\b|\brcpt command|(?:after|to|following) rcpt\b|does not like recipient|recipient was rejected|(?:rejected|refused) recipient\b|\(state 14\)`),
		toContent:   regexp.MustCompile(`(?i)(?:in reply to|after|following|in response to) (?:the )?(?:end of )?(?:message )?data\b|failed after i sent the message|\[data\]|>>> data\s+<<< [45]|smtp command\W+data\b`),
		perhaps:     regexp.MustCompile(`(?i)\b(?:may|might) not exist`),
		noHost:      regexp.MustCompile(`(?i)\bhost unknown|unknown host|\bhost not found|domain (?:name )?not found|no such (?:host|domain)|\bnxdomain\b|unrout?eable address`),
		noMail:      regexp.MustCompile(`(?i)indicated no smtp service|null mx\b|no mail service at this domain`),
	}
}

// bounceSubjects are how subjects of bounces speak, in several languages.
func bounceSubjects() []string {
	return []string{
		`undeliver(?:able|ed)`, `delivery (?:status )?(?:notification|failure|failed|report|problem|error|delayed|status)`, `deliver(?:y|ed)? (?:has |was )?(?:failed|failure|delayed)`,
		`returned (?:e-?)?mail`, `returned to sender`, `failure notice`, `failure notification`, `mail (?:system )?(?:error|failure)`, `non[- ]?deliver`, `(?:could|can)(?:n't|not| not) be (?:delivered|sent)`,
		`not (?:be )?delivered`, `message (?:delivery )?(?:failed|undeliverable|delayed)`, `error sending your (?:mail|message)`, `bounce(?:d)? (?:notification|message|e-?mail)`, `mail rejected`, `not (?:a )?member\b`, `\bpost(?:ing)? (?:by|from|denied|rejected)`, `\bloop alert`,
		`unzustellbar`, `zustell(?:ung|status|fehler)`, `nicht zugestellt`, `non remis`, `non[- ]distribu`, `échec de (?:la )?(?:remise|livraison|distribution)`, `avis de non[- ]`,
		`no (?:se )?(?:ha )?(?:podido|pudo|puede) (?:ser )?entreg`, `no entregad`, `mensaje devuelto`, `mancat[oa] (?:consegna|recapito)`, `impossibile (?:recapitare|consegnare)`,
		`não (?:foi )?(?:entregue|possível entregar)`, `falha na entrega`, `niet (?:worden )?(?:bezorgd|afgeleverd)`, `onbestelbaar`, `kan inte levereras`, `nicht übermittelt`,
		`nie można dostarczyć`, `niedostarczon`, `не (?:доставлен|может быть доставлен)`, `сообщение не доставлено`, `недоставлен`, `配信(?:できません|不能|エラー|に失敗)`, `エラー(?:通知|メール)`, `メールエラー`, `未送達`, `退信`, `投递失败`, `无法(?:送达|投递)`, `무법`, `반송`, `전송 ?실패`,
	}
}

// bounceWords are how bounces say what happened.
func bounceWords() []string {
	return []string{
		`(?:could|can|would)(?:n't|not| not) be (?:delivered|sent|reached|found)`, `(?:was|were|wasn't|weren't|been|has) ?(?:not|n't)? (?:been )?(?:able to deliver|delivered)`, `unable to deliver`, `not (?:be )?deliver`, `did not reach`, `undeliver`, `failed to deliver`,
		`deliver\w* (?:to [^\n]{0,80} )?(?:has |have )?(?:failed|been delayed|is delayed)`, `(?:following|these) (?:address|recipient)(?:es|s|\(s\)|\(es\))?`, `(?:permanent|fatal) (?:fatal )?error`, `trouble delivering`, `error (?:occurred while |sending|delivering)[^\n]{0,40}(?:deliver|your mail)`,
		`(?:e-?mail|message) you sent was rejected`, `mailbox (?:is full|exceeds)`, `user(?:'s)? mailbox`, `transcript of session`, `user unknown`, `no such user`, `rejected recipient`, `failed \d+ attempts`, `failure reasons`,
		`group you tried to contact`, `not (?:a )?member of (?:this|the) (?:mailing )?list`, `not allowed to post`, `duplicated message-id in`, `(?m)^<<< [45]\d\d`, `konnte nicht zugestellt`, `n'a pas pu être`, `no (?:se )?(?:pudo|puede|ha podido)`, `配信できません`, `送信できませ`, `送信に失敗`, `не может быть доставлено`,
	}
}

// delayWords say that the message is still being tried.
func delayWords() []string {
	return []string{
		`notification \(delay\)`, `warning message only`, `has been delayed`, `(?:is|was) (?:being )?delayed`, `delivery delayed`, `notification: delayed`, `will be retried`, `(?:will|shall) (?:continue|keep) (?:to )?try`, `temporary failure report`,
		`do not need to re-?send`, `not yet been delivered`, `could not be delivered for the last`, `still (?:being )?(?:trying|tried|retried)`, `message .{0,30}delayed`, `verzögert`, `retardé`, `retrasad`,
	}
}

// autoSubjects are how subjects of automatic replies begin. The last resort:
// RFC 3834 has fields for it.
func autoSubjects() []string {
	return []string{
		`auto(?:matic|mated)?[- ]?(?:reply|response|respon[sd]\w*|answer)`, `auto(?:-|:| re:)`, `out[- ]of[- ](?:the[- ])?office`, `ooo\b`, `away from (?:my |the )?(?:mail|office|desk)`, `on (?:vacation|leave|holiday|annual leave|maternity|paternity)`, `vacation`, `(?:annual|parental|maternity|paternity|sick) leave`, `holiday (?:notice|message)`,
		`abwesenheit`, `automatische (?:antwort|reactie|e-?mail)`, `nicht im (?:büro|haus)`, `urlaub`, `réponse automatique`, `absence d[ue]`, `absent`, `message d'absence`, `respuesta automática`, `fuera de (?:la )?oficina`, `ausente`, `ausencia`, `ausência`, `resposta automática`, `fora do escritório`,
		`risposta automatica`, `fuori (?:sede|ufficio)`, `assente`, `automatisch antwoord`, `afwezig`, `autosvar`, `automatisk(?:t)? svar`, `frånvar`, `fravær`, `ikke til stede`, `poissa`, `automaattinen vastaus`, `autoodpowied`, `automatyczna odpowied`, `nieobecno`, `poza biurem`,
		`автоответ`, `автоматический ответ`, `автоматична відповідь`, `отсутств`, `в отпуске`, `automatická odpově`, `nepřítomnost`, `automatick[áa] odpove`, `automatikus válasz`, `răspuns automat`, `αυτόματη απάντηση`, `otomatik yan[ıi]t`, `ofis d[ıi][şs][ıi]nda`, `automātisk[āa]`, `[āa]rpus biroja`, `atvaļinājum`, `automatinis atsakymas`, `automaatvastus`, `samodejni odgovor`, `automatski odgovor`,
		`自動(?:返信|応答|回覆)`, `不在`, `外出中`, `自动(?:回复|答复)`, `(?:休假|外出)`, `자동 ?(?:회신|응답|답장)`, `부재`, `trả lời tự động`, `ตอบกลับอัตโนมัติ`, `رد تلقائي`, `תשובה אוטומטית`, `balasan otomatis`,
	}
}

// cutReturned separates what the author says from a message that is quoted
// behind it.
func (p *patterns) cutReturned(words string) (own, returned string) {
	if at := p.returned.FindStringIndex(words); at != nil && p.hasFields(words[at[1]:]) {
		return words[:at[0]], strings.TrimLeft(words[at[1]:], "\r\n \t-=*#>")
	}
	if at := p.receivedField.FindStringIndex(words); at != nil && at[0] > 0 {
		return words[:at[0]], words[at[0]:]
	}
	if at := p.returned.FindStringIndex(words); at != nil && len(strings.TrimSpace(words[:at[0]])) > 0 {
		return words[:at[0]], words[at[1]:]
	}
	return words, ""
}

// hasFields reports that a header field follows soon.
func (p *patterns) hasFields(text string) bool {
	text = strings.TrimLeft(text, "\r\n \t-=*#>")
	if line, rest := cutLine([]byte(text)); isMbox(line) {
		text = string(rest)
	}
	line, _ := cutLine([]byte(text))
	_, _, ok := cutField(line)
	return ok
}
