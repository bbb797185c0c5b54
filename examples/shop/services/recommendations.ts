/** Three versions: v1 recommends nothing, v2 what sells best, v3 what you looked at. */
import { me, serve } from "./service.ts";

const PICKS: Readonly<Record<string, readonly string[]>> = { v1: [], v2: ["teapot"], v3: ["cup", "kettle"] };

serve((call) => ({
  status: 200,
  body: { from: me, user: call.headers["user"] ?? "anonymous", picks: PICKS[me.version] ?? [] },
}));
