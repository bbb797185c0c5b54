/** `node test/fields/write-fields.ts`: writes docs/fields.md. */
import { writeFileSync } from "node:fs";
import { accountOfFields } from "./account.ts";
import { fieldsPage } from "./fields-page.ts";

writeFileSync(new URL("../../docs/fields.md", import.meta.url), fieldsPage(accountOfFields()));
