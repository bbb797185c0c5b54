/** `/help` and `/`. */
import type { AdminEndpoint } from "./endpoint.ts";

/** `admin commands are:` and a line for each, parameters below. */
export function helpPage(endpoints: readonly AdminEndpoint[]): string {
  let out = "admin commands are:\n";
  for (const { path, help, mutates, parameters = [] } of endpoints) {
    out += `  ${path}${mutates === true ? " (POST)" : ""}: ${help}\n`;
    for (const parameter of parameters) out += `      ${parameter.name}: ${parameter.help}\n`;
  }
  return out;
}

/** A table of links; what changes something is a form. */
export function homePage(endpoints: readonly AdminEndpoint[]): string {
  const rows = endpoints
    .filter(({ path }) => path !== "/")
    .map(({ path, help, mutates }) => {
      const command =
        mutates === true
          ? `<form action="${path.slice(1)}" method="post"><button>${path.slice(1)}</button></form>`
          : `<a href="${path.slice(1)}">${path.slice(1)}</a>`;
      return `<tr><td>${command}</td><td>${escaped(help)}</td></tr>\n`;
    });
  return `<!DOCTYPE html>
<html lang="en">
<head><title>Glassmesh proxy admin</title>
<style>body{font-family:sans-serif}td{padding:4px;text-align:left}form{margin:0}</style></head>
<body><table><thead><tr><th>Command</th><th>Description</th></tr></thead><tbody>
${rows.join("")}</tbody></table></body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
