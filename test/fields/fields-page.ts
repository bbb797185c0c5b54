/** The account of fields as the page docs/fields.md: the same account gives the same text. */
import { crds } from "#control-plane/validate/crds/crds.ts";
import type { LeafAccount } from "./account.ts";
import { leavesOf } from "./leaves.ts";

const HEAD = `# What becomes of every field

Every leaf of every CRD of Istio 1.32 (istio.io/api 1.31.1), and what Glassmesh makes of it: the first thing that differs in what
a proxy is sent when the field is taken away (CDS, EDS, LDS, RDS, ECDS, or the bootstrap), with the case that shows it; or the
finding that an object with the field gets. No field is accepted and then ignored. \`[]\` is any item of a list, \`{}\` any key.

Written by \`node test/fields/write-fields.ts\`; \`test/fields/fields.test.ts\` fails where it is not true any more.
`;

export function fieldsPage(accounts: ReadonlyMap<string, LeafAccount>): string {
  const sections = crds.map((crd) => {
    const leaves = leavesOf(crd);
    const rows = leaves.map(({ kind, path }) => `| \`${path}\` | ${cells(accounts.get(`${kind} ${path}`))} |\n`);
    const effects = leaves.filter(({ kind, path }) => accounts.get(`${kind} ${path}`)?.kind === "effect").length;
    const title = `## ${crd.kind} (${crd.group}: ${crd.versions.join(", ")})\n\n${effects} of ${leaves.length} fields have an effect.\n`;
    return `${title}\n| field | becomes, or is told | shown by |\n| --- | --- | --- |\n${rows.join("")}`;
  });
  return `${HEAD}\n${sections.join("\n")}`;
}

function cells(account: LeafAccount | undefined): string {
  if (account === undefined || account.kind === "unexplained") return "**nothing** |";
  if (account.kind === "required")
    return `must be there: the object is refused without it | ${caseOf(account.shownBy)}`;
  const text = account.kind === "effect" ? account.where : account.message;
  return `${text.replaceAll("|", "\\|").replaceAll("\n", " ")} | ${caseOf(account.shownBy)}`;
}

const caseOf = (path: string): string => path.replace(/^test\//, "");
