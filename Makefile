# chatrel: group chat and a follow graph inside PostgreSQL
#
#   make && make install && make installcheck [PG_CONFIG=/path/to/pg_config]
#
# The version stands in chatrel.control; chatrel_search.control and chatrel_proxy.control must have
# the same.

# Where this file is, when building outside the source tree
here := $(dir $(lastword $(MAKEFILE_LIST)))

EXTENSION = chatrel chatrel_search chatrel_proxy
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(here)chatrel.control)

MODULE_big = chatrel

# The rooms of src/, in the order in which they may use each other (script/check-layers)
ROOMS = core delivery relationships groups messages receive search whiteboards users shards
SOURCES = $(foreach room,$(ROOMS),$(sort $(wildcard $(here)src/$(room)/*.c))) $(here)src/chatrel.c
OBJS = $(patsubst $(here)%.c,%.o,$(SOURCES))

# The install script is put together of these, in this order: what each part creates, and after
# all of that, from its line "-- privileges" on, what each grants (sql/parts/schema.sql says why).
SQL_PARTS = schema users relationships people groups invitations events messages marks \
	delivery receive whiteboards shards
sql_parts = $(SQL_PARTS:%=$(here)sql/parts/%.sql)
# chatrel_search, for who wants to search, is one part; that of chatrel_proxy follows from the others.
# Outside the source tree they are named in full, or make would take those that it finds in there.
built_sql = $(if $(filter-out ./,$(here)),$(CURDIR)/)sql
DATA_built = $(built_sql)/chatrel--$(EXTVERSION).sql $(built_sql)/chatrel_search--$(EXTVERSION).sql \
	$(built_sql)/chatrel_proxy--$(EXTVERSION).sql

SHLIB_EXPORTS = src/exports.txt
PG_CPPFLAGS = -I$(here)src -DCHATREL_VERSION='"$(EXTVERSION)"'

REGRESS = install identity groups group_rules invitations direct messages relationships errors limits security whiteboards \
	link link_condition link_verify uninstall marks sync one_statement gateway conversations people search shards
REGRESS_OPTS = --inputdir=$(srcdir)/test --outputdir=.
ISOLATION = iso_delivery iso_leave_send iso_create_group iso_join iso_delete_user iso_gateway \
	iso_channel_order iso_listen iso_sync iso_whiteboard iso_follow iso_follow_delete iso_follow_savepoint \
	iso_follow_counters iso_follow_event iso_one_statement iso_edit iso_purge iso_marks iso_link \
	iso_link_names iso_delete_group iso_block iso_invite iso_direct iso_told iso_roles iso_search
ISOLATION_OPTS = --inputdir=$(srcdir)/test --outputdir=. --load-extension=chatrel
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The archive for PGXN: what git has
.PHONY: dist
dist:
	$(here)script/check-meta
	git -C $(here) archive --format=zip --prefix=chatrel-$(EXTVERSION)/ \
		--output=$(CURDIR)/chatrel-$(EXTVERSION).zip HEAD

$(built_sql)/chatrel--$(EXTVERSION).sql: $(sql_parts) $(here)Makefile
	mkdir -p sql
	awk 'FNR == 1 { of_privileges = 0 } \
		/^-- privileges$$/ { of_privileges = 1; next } \
		of_privileges { privileges = privileges $$0 "\n"; next } \
		{ print } \
		END { printf "%s", privileges }' $(sql_parts) > $@

$(built_sql)/chatrel_search--$(EXTVERSION).sql: $(here)sql/parts/search.sql
	mkdir -p sql
	cp $< $@

$(built_sql)/chatrel_proxy--$(EXTVERSION).sql: $(here)script/make-proxy $(here)sql/parts/proxy.sql \
		$(sql_parts) $(here)sql/parts/search.sql
	mkdir -p sql
	perl $^ > $@.new
	mv $@.new $@

# A build outside the source tree needs the folders; a change of a header, all objects.
FOLDERS = $(ROOMS:%=$(CURDIR)/src/%)
$(OBJS): $(wildcard $(here)src/*/*.h) | $(FOLDERS)
$(FOLDERS):
	mkdir -p $@
