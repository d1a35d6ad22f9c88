USE sdh_auth;
INSERT IGNORE INTO entry VALUES (1, 'everybody');
