/** Takes the money. Version 2 knows about instalments. */
import { me, serve } from "./service.ts";

serve((call) => ({
  status: 200,
  body: { from: me, path: call.url.pathname, paid: true, ...(me.version === "v2" ? { instalments: [1, 3, 12] } : {}) },
}));
