package tracking

// pageSource is the unsubscribe page, a html/template.
const pageSource = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{if .Done}}Unsubscribed{{else}}Unsubscribe{{end}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
{{- if .Done}}
<h1>You are unsubscribed</h1>
<p role="status">No more of these messages will be sent to <strong>{{.Address}}</strong>.</p>
{{- else}}
<h1>Unsubscribe</h1>
{{- if .Failed}}
<p role="alert">That did not work: your request could not be stored. Please try again in a minute.</p>
{{- end}}
<p>Stop these messages to <strong>{{.Address}}</strong>?</p>
<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">{{if .Failed}}Try again{{else}}Unsubscribe{{end}}</button>
</form>
{{- end}}
</main>
</body>
</html>
`

// pageStyle is its style sheet.
const pageStyle = `body{margin:0;font:1.125rem/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff}main{max-width:34rem;margin:0 auto;padding:2rem 1rem}button{font:inherit;padding:.6rem 1.2rem;border:2px solid #0b4f9e;border-radius:.3rem;background:#0b4f9e;color:#fff;cursor:pointer}button:focus-visible{outline:3px solid #f5a800;outline-offset:2px}`
