package tracking

// pageSource is the unsubscribe page, a html/template.
const pageSource = `<!DOCTYPE html>
<html lang="{{.Language}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{if .Done}}{{.Unsubscribed}}{{else}}{{.Unsubscribe}}{{end}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
{{- if .Done}}
<h1>{{.Confirmed}}</h1>
<p role="status">{{.Answer}}</p>
{{- else}}
<h1>{{.Unsubscribe}}</h1>
{{- if .Failed}}
<p role="alert">{{.Apology}}</p>
{{- end}}
<p id="question">{{.Question}}</p>
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit" aria-describedby="question">{{if .Failed}}{{.Again}}{{else}}{{.Unsubscribe}}{{end}}</button>
</form>
{{- end}}
{{- if .More}}
<p><a href="{{.More}}" rel="nofollow">{{.Other}}</a></p>
{{- end}}
</main>
</body>
</html>
`

// choicesSource is the page of choices. Every button is a form of its own.
const choicesSource = `<!DOCTYPE html>
<html lang="{{.Language}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.Choices}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>{{.Choices}}</h1>
{{- if eq .Outcome "saved"}}
<p role="status">{{.Saved}}</p>
{{- else if eq .Outcome "failed"}}
<p role="alert">{{.Apology}}</p>
{{- else if eq .Outcome "unclear"}}
<p role="alert">{{.Unclear}}</p>
{{- end}}
<p>{{.Question}}</p>
{{- if not .AllLeft}}
{{- range $i, $s := .Streams}}
<section aria-labelledby="stream-{{$i}}">
<h2 id="stream-{{$i}}">{{$s.DisplayName}}</h2>
<p id="state-{{$i}}">{{if $s.Left}}{{$.StreamOff}}{{else}}{{$.StreamOn}}{{end}}</p>
<form method="post">
<input type="hidden" name="choice" value="{{if $s.Left}}return{{else}}leave{{end}}">
<input type="hidden" name="stream" value="{{$s.Name}}">
<button type="submit" aria-describedby="state-{{$i}}">{{if $s.Left}}{{$s.Resume}}{{else}}{{$s.Stop}}{{end}}</button>
</form>
</section>
{{- end}}
{{- end}}
<section aria-labelledby="everything">
<h2 id="everything">{{.Everything}}</h2>
<p id="all">{{if .AllLeft}}{{.AllOff}} {{end}}{{.Needed}}</p>
<form method="post">
<input type="hidden" name="choice" value="{{if .AllLeft}}return_all{{else}}leave_all{{end}}">
<button type="submit" aria-describedby="all">{{if .AllLeft}}{{.ResumeAll}}{{else}}{{.StopAll}}{{end}}</button>
</form>
</section>
<section aria-labelledby="measuring">
<h2 id="measuring">{{.Measuring}}</h2>
<p id="measured">{{if .Unmeasured}}{{.MeasureOff}}{{else}}{{.MeasureOn}}{{end}}</p>
<form method="post">
<input type="hidden" name="choice" value="{{if .Unmeasured}}measure{{else}}unmeasure{{end}}">
<button type="submit" aria-describedby="measured">{{if .Unmeasured}}{{.MeasureResume}}{{else}}{{.MeasureStop}}{{end}}</button>
</form>
</section>
</main>
</body>
</html>
`

// pageStyle is its style sheet.
const pageStyle = `body{margin:0;font:1.125rem/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff}main{max-width:34rem;margin:0 auto;padding:2rem 1rem}button{font:inherit;padding:.6rem 1.2rem;border:2px solid #0b4f9e;border-radius:.3rem;background:#0b4f9e;color:#fff;cursor:pointer}section{border-top:1px solid #767676;padding:.5rem 0}a{color:#0b4f9e}a:focus-visible,button:focus-visible{outline:3px solid #f5a800;outline-offset:2px}`
