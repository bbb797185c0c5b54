/** Text tables as istioctl prints them: columns padded to their widest cell, five blanks between, no trailing ones. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[], gap = 5): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines
    .map((line) =>
      header
        .map((_, column) => (line[column] ?? "").padEnd((widths[column] ?? 0) + gap))
        .join("")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
