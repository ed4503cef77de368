/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _FUZZ_LINUX_HASHTABLE_H
#define _FUZZ_LINUX_HASHTABLE_H

#include_next <linux/hashtable.h>
#include <linux/rculist.h>

#define hash_add_rcu(table, node, key)					\
	hlist_add_head_rcu(node, &(table)[hash_min(key, HASH_BITS(table))])

#define hash_del_rcu(node)	hlist_del_init_rcu(node)

#define hash_for_each_possible_rcu(table, object, member, key, cond...)	\
	hlist_for_each_entry_rcu(object,				\
				 &(table)[hash_min(key, HASH_BITS(table))], \
				 member, ## cond)

#endif /* _FUZZ_LINUX_HASHTABLE_H */
