/** Writes docs/compatibility.md: `node test/compatibility/write.ts`. */
import { writeFileSync } from "node:fs";
import { accountOfMessages } from "./account.ts";
import { differences } from "./differences.ts";
import { compatibilityPage } from "./page.ts";

writeFileSync(
  new URL("../../docs/compatibility.md", import.meta.url),
  compatibilityPage(accountOfMessages(), differences()),
);
