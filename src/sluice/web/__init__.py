"""Fetching: from URLs to stored bytes, politely, within bounds, and never from where a recipe may not reach.

| what | where |
| --- | --- |
| what a recipe may say of it | `config` |
| which address may be connected to, and names looked up once | `address`, `resolve` |
| what a site asks for: `robots.txt`, `X-Robots-Tag` and the like | `robots`, `robots_tag`, `opt_outs` |
| one exchange, over HTTP/1.1 or HTTP/2 | `exchange`, `clients`, `http1`, `http2` |
| its answer, read within bounds | `body`, `answer` |
| whose turn it is: limits and pauses a host | `hosts` |
| all of a list | `crawl` |
| where the bytes go, and what is known of each URL | `store`, `index` |
"""
